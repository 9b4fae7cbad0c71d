"""Who may sign in, what the ready-made groups may do, and who is locked out; users themselves are made in the admin."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from gspnp.console import lockout, roles
from gspnp.console.access import CHANGE_USERS, VIEW_USERS, needs
from gspnp.console.refusal import nothing_done
from gspnp.console.shell import shell_context

SHOWN = 500


@require_safe
@needs(VIEW_USERS)
def page(request: HttpRequest) -> HttpResponse:
    """Roles, locks, people."""
    users = get_user_model()._default_manager.prefetch_related("groups").order_by("username")
    groups = {group.name: group for group in Group.objects.filter(name__in=[role.name for role in roles.ROLES])}
    context = shell_context(
        request,
        _("People"),
        roles=[(role, groups.get(role.name)) for role in roles.ROLES],
        people=users[:SHOWN],
        more=max(0, users.count() - SHOWN),
        locks=lockout.locked(),
        may_change=request.user.has_perm(CHANGE_USERS),
    )
    return render(request, "console/people.html", context)


@require_POST
@needs(CHANGE_USERS)
def unlock(request: HttpRequest) -> HttpResponse:
    """Let this name sign in again from this address."""
    if lockout.unlock(request.POST.get("name", ""), request.POST.get("host", "")):
        messages.success(request, _("Unlocked: the right password is taken again."))
    else:
        nothing_done(request)
        messages.info(request, _("This lock had ended already."))
    return redirect("console:people")
