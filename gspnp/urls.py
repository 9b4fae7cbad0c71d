"""Addresses of the console door."""

from django.contrib import admin
from django.urls import include, path

from gspnp.console import views

urlpatterns = [
    path("healthz", views.healthz),
    # The admin's own page would be a dead end for whoever has just signed in for the first time.
    path("admin/password_change/done/", views.password_changed),
    path("admin/", admin.site.urls),
    path("", include("gspnp.console.urls")),
]
