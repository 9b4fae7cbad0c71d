"""Users and groups of Django, in unfold's looks."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import Group, User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminPasswordWidget

from gspnp.console import roles
from gspnp.console.access import CHANGE_USERS, VIEW_USERS

READY_MADE = tuple(role.name for role in roles.ROLES)
STANDING = ("is_active", "is_staff", "is_superuser")  # without these nobody signs in, or lets others in


def _after_save(request: HttpRequest) -> HttpResponseRedirect:
    """To the page of people; whoever has just lost the right to it is told so, where everybody may go."""
    now = User.objects.get(pk=request.user.pk or 0)  # the one of the request remembers what it might before
    if now.has_perm(VIEW_USERS):
        return HttpResponseRedirect(reverse("console:people"))
    messages.warning(request, gettext("You have taken the affairs of people from yourself. Others can give them back."))
    return HttpResponseRedirect(reverse("console:phones"))


class AddPersonForm(UserCreationForm):
    """A name and a password; what is wrong with the password stands beside it, and not beside its repetition."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("password1", "password2"):
            self.fields[name].widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})

    def validate_password_for_user(self, user: Any, password_field_name: str = "password1") -> None:
        """Adds errors to the form."""
        super().validate_password_for_user(user, password_field_name)  # type: ignore[misc]  # Django's form has it


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    """People who may sign in. Signing in needs Django's “staff status”; what one may do is a matter of permissions."""

    form = UserChangeForm
    add_form = AddPersonForm
    add_form_template = None  # Django's says that there is more to fill in afterwards
    change_password_form = AdminPasswordChangeForm
    fieldsets = tuple(one for one in DjangoUserAdmin.fieldsets or () if "last_login" not in one[1]["fields"])
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("username", "password1", "password2")}),
        (_("What this person may do"), {"classes": ("wide",), "fields": ("groups", "is_staff")}),
    )

    filter_horizontal = ("user_permissions",)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """In our words."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "is_staff" and isinstance(field, forms.Field):
            field.label, field.help_text = _("May sign in"), _("Without it this person cannot sign in to the console.")
        return field

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Groups are few: each is a box to tick."""
        if db_field.name == "groups":
            kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Whoever is added here is to sign in."""
        return {"is_staff": True} | super().get_changeform_initial_data(request)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        """As any form of the admin: Django's goes on to a longer one."""
        return super(DjangoUserAdmin, self).response_add(request, obj, post_url_continue)

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return _after_save(request)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Whoever took the right to this form from himself sees it no more, whichever button it was."""
        if obj.pk == request.user.pk and not User.objects.get(pk=obj.pk).has_perm(CHANGE_USERS):
            return _after_save(request)
        return super().response_change(request, obj)

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return _after_save(request)

    @admin.display(description=_("May sign in"), boolean=True)
    def may_sign_in(self, obj: Any) -> bool:
        """Where it cannot be switched: Django's own words speak of staff."""
        return obj.is_staff

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The switch only for who may switch it."""
        found = super().get_fieldsets(request, obj)
        if obj is None or (obj.pk != request.user.pk and self.has_change_permission(request, obj)):
            return found
        return [
            (title, options | {"fields": ["may_sign_in" if one == "is_staff" else one for one in options["fields"]]})
            for title, options in found
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Only a superuser makes superusers, and nobody shuts himself out: one is always left who can let in."""
        fields = tuple(super().get_readonly_fields(request, obj))
        if not request.user.is_superuser:
            fields = (*fields, "is_superuser")
        fields = (*fields, "may_sign_in")
        return (*fields, *STANDING) if obj is not None and obj.pk == request.user.pk else fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody else sets a superuser's password, or anything of one."""
        return super().has_change_permission(request, obj) and self._may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes himself."""
        if obj is not None and obj.pk == request.user.pk:
            return False
        return super().has_delete_permission(request, obj) and self._may_touch(request, obj)

    def get_queryset(self, request: HttpRequest) -> Any:
        """The action that deletes many sees no more than one may delete."""
        rows = super().get_queryset(request)
        many = request.method == "POST" and request.POST.get("action") and not request.user.is_superuser
        return rows.filter(is_superuser=False) if many else rows

    def _may_touch(self, request: HttpRequest, obj: Any) -> bool:
        return request.user.is_superuser or obj is None or not obj.is_superuser


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Sets of permissions."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A ready-made group comes back at the next start, without its people."""
        is_ready_made = obj is not None and obj.name in READY_MADE
        return not is_ready_made and super().has_delete_permission(request, obj)

    def get_queryset(self, request: HttpRequest) -> Any:
        """The action that deletes many sees no more than one may delete."""
        rows = super().get_queryset(request)
        many = request.method == "POST" and request.POST.get("action")
        return rows.exclude(name__in=READY_MADE) if many else rows

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return _after_save(request)

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return _after_save(request)
