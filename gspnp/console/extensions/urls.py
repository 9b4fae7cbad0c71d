"""Addresses of the directory's pages, below /extensions/."""

from django.urls import path

from gspnp.console.extensions import files, find, handout, pages

urlpatterns = [
    path("extensions/", pages.page, name="extensions"),
    path("extensions/find/", find.find, name="extension_find"),
    path("extensions/add/", pages.add, name="extension_add"),
    path("extensions/import/", files.upload, name="extension_import"),
    path("extensions/export/", files.download, name="extension_export"),
    path("extensions/handout/", handout.page, name="handout"),
    path("extensions/<int:pk>/", pages.extension, name="extension"),
    path("extensions/<int:pk>/delete/", pages.delete, name="extension_delete"),
]
