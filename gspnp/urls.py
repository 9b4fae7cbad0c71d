"""Addresses of the console door."""

import inspect

from django.contrib import admin
from django.urls import include, path
from django.views import defaults
from django.views.decorators.cache import cache_control
from django.views.i18n import JavaScriptCatalog

from gspnp.console import failed, views

# The texts of our scripts in the reader's language; see static/console/words.js.
words = cache_control(private=True, max_age=3600)(JavaScriptCatalog.as_view(packages=["gspnp.console"]))

# Django's own read the form for its CSRF token, and fail again where the form is what could not be read.
handler400 = inspect.unwrap(defaults.bad_request)
handler500 = failed.failed

urlpatterns = [
    path("healthz", views.healthz),
    path("words.js", words, name="words"),
    # The admin's own page would be a dead end for whoever has just signed in for the first time.
    path("admin/password_change/done/", views.password_changed),
    path("admin/", admin.site.urls),
    path("", include("gspnp.console.urls")),
]
