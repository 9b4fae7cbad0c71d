"""Addresses of the console's pages, below the root of the console door."""

from django.urls import path, register_converter

from devices.mac import MacError, parse_mac
from gspnp.console import (
    actions,
    alarms,
    assign,
    bulk_edit,
    changes,
    doctor,
    exports,
    firmware,
    imports,
    jobs,
    layers,
    listeners,
    opinions,
    orders,
    overview,
    paths,
    people,
    phone,
    phone_history,
    phone_settings,
    phonebook,
    prestage,
    reveal,
    swap,
    views,
)
from gspnp.console.extensions import urls as extensions


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
    path("filters/", views.offered_filters, name="filters"),
    path("columns/", views.list_columns, name="columns"),
    path("signed-in/", views.signed_in, name="signed_in"),
    path("orders/<slug:kind>/", orders.order, name="order"),
    path("overview/", overview.page, name="overview"),
    path("overview/live/", overview.live_part, name="overview_live"),
    path("alarms/", alarms.page, name="alarms"),
    path("alarms/live/", alarms.live_part, name="alarms_live"),
    path("alarms/dismiss/", alarms.dismiss_all, name="alarms_dismiss"),
    path("alarms/<int:alarm_id>/dismiss/", alarms.dismiss, name="alarm_dismiss"),
    path("alarms/decoys/add/", alarms.add_decoy, name="decoy_add"),
    path("alarms/decoys/make/", alarms.make_decoys, name="decoys_make"),
    path("alarms/decoys/<mac:mac>/remove/", alarms.remove_decoy, name="decoy_remove"),
    path("listeners/", listeners.page, name="listeners"),
    path("listeners/live/", listeners.live_part, name="listeners_live"),
    path("listeners/forget/", listeners.forget, name="listener_forget"),
    path("doctor/", doctor.page, name="doctor"),
    path("people/", people.page, name="people"),
    path("people/unlock/", people.unlock, name="unlock"),
    path("changes/", changes.page, name="changes"),
    path("settings/", layers.overview, name="layers"),
    path("settings/layer/", layers.layer, name="layer"),
    path("settings/catalogue/", layers.catalogue, name="catalogue"),
    path("settings/row/", layers.row, name="setting_row"),
    path("settings/opinions/", opinions.page, name="opinions"),
    path("jobs/", jobs.overview, name="jobs"),
    path("jobs/<int:job_id>/", jobs.page, name="job"),
    path("jobs/<int:job_id>/live/", jobs.live_part, name="job_live"),
    *(
        path(f"jobs/<int:job_id>/{button}/", jobs.press, {"button": button}, name=f"job_{button}")
        for button in jobs.BUTTONS
    ),
    *extensions.urlpatterns,
    path("firmware/", firmware.page, name="firmware"),
    path("firmware/upload/", firmware.upload, name="firmware_upload"),
    path("firmware/remove/<str:version>/", firmware.remove, name="firmware_remove"),
    path("firmware/path/<str:model>/", firmware.pin, name="firmware_pin"),
    path("phonebook/", phonebook.page, name="phonebook"),
    path("phonebook/switch/", phonebook.switch, name="phonebook_switch"),
    path("phonebook/file/", phonebook.file, name="phonebook_file"),
    path("phonebook/renew/", phonebook.renew, name="phonebook_renew"),
    path("phones.json", views.phones_json, name="phones_json"),
    path("phones/import/", imports.overview, name="imports"),
    path("phones/import/sample.<str:kind>", imports.sample, name="import_sample"),
    path("phones/import/<int:import_id>/", imports.page, name="import"),
    path("phones/import/<int:import_id>/<str:button>/", imports.press, name="import_press"),
    path("phones/export/", exports.export, name="export"),
    path("phones/edit/", bulk_edit.page, name="bulk_edit"),
    path("phones/edit/<int:import_id>/", bulk_edit.again, name="bulk_edit_again"),
    path("phones/add/", prestage.add, name="add_phone"),
    path("phones/<mac:mac>/", phone.page, name="phone"),
    path("phones/<mac:mac>/live/", phone.live_part, name="phone_live"),
    path("phones/<mac:mac>/assign/", assign.drawer, name="assign"),
    path("phones/<mac:mac>/assign/news/", assign.news, name="assign_news"),
    path("phones/<mac:mac>/assign/undo/", assign.undo, name="assign_undo"),
    path("phones/<mac:mac>/swap/", swap.page, name="swap"),
    path("phones/<mac:mac>/settings/", phone_settings.page, name="phone_settings"),
    path("phones/<mac:mac>/history/", phone_history.page, name="phone_history"),
    path("phones/<mac:mac>/history/<int:number>/back/", phone_history.back, name="roll_back"),
    path("phones/<mac:mac>/reveal/", reveal.page, name="reveal"),
    path("phones/<mac:mac>/release/", paths.release, name="release"),
    path("phones/<mac:mac>/<slug:action>/", actions.act, name="act"),
]
