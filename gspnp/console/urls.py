"""Addresses of the console's pages, below the root of the console door."""

from django.urls import path, register_converter

from devices.mac import MacError, parse_mac
from gspnp.console import actions, assign, doctor, firmware, phone, views


class MacConverter:
    """A MAC in any usual spelling; what is none is not found."""

    regex = "[0-9A-Fa-f:.-]{12,17}"

    def to_python(self, value: str) -> str:
        """The 12 upper-case digits."""
        try:
            return parse_mac(value)
        except MacError as error:
            raise ValueError(str(error)) from error

    def to_url(self, value: str) -> str:
        """As it is."""
        return value


register_converter(MacConverter, "mac")

app_name = "console"
urlpatterns = [
    path("", views.phones, name="phones"),
    path("rows/", views.rows, name="rows"),
    path("doctor/", doctor.page, name="doctor"),
    path("firmware/", firmware.page, name="firmware"),
    path("firmware/upload/", firmware.upload, name="firmware_upload"),
    path("firmware/remove/<str:version>/", firmware.remove, name="firmware_remove"),
    path("firmware/path/<str:model>/", firmware.pin, name="firmware_pin"),
    path("phones.json", views.phones_json, name="phones_json"),
    path("phones/<mac:mac>/", phone.page, name="phone"),
    path("phones/<mac:mac>/live/", phone.live_part, name="phone_live"),
    path("phones/<mac:mac>/assign/", assign.drawer, name="assign"),
    path("phones/<mac:mac>/<slug:action>/", actions.act, name="act"),
]
