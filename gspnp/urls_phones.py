"""Addresses of the phones' door: its one view reads the path itself, so that every refusal looks the same."""

from django.urls import path, re_path

from provisioning import views

urlpatterns = [
    path("healthz", views.healthz),
    re_path(r"^(?P<path>.*)$", views.door),
]
handler500 = "provisioning.views.failed"
handler400 = handler403 = handler404 = "provisioning.views.refused"
