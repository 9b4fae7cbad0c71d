"""Addresses of the console door."""

from django.contrib import admin
from django.urls import include, path

from gspnp.console import views

urlpatterns = [
    path("healthz", views.healthz),
    path("admin/", admin.site.urls),
    path("", include("gspnp.console.urls")),
]
