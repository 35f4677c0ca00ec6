"""A challenger beside the release that answers: with a share of the users, or with copies that nobody sees."""

import time
from dataclasses import replace

from llmops.registry.seat import Seat
from llmops.serving.options import Options
from llmops.serving.rollout.backend import Backend
from llmops.serving.rollout.breach import find_breach
from llmops.serving.rollout.keeper import Keeper
from llmops.serving.rollout.plan import Canary, Plan
from llmops.serving.rollout.report import read_reports
from llmops.serving.rollout.tally import Tally, add_up
from llmops.serving.rollout.target import CHALLENGER, Refused, check_attested, split_uri


def try_out(keeper: Keeper, uri: str, backend: Backend, options: Options) -> None:
    """Give the challenger `uri` what the options say, or take it away; "" is none.

    Raises:
        Refused: its ledger doesn't attest it. Then it answers nobody, but copies all the same.
        LLMOpsError: it can't be loaded, or the ledger can't be read.
    """
    refused = _refused(keeper, uri, options)
    _change(keeper, uri, backend, replace(options, canary=0.0) if refused else options)
    if refused:
        raise refused


def _refused(keeper: Keeper, uri: str, options: Options) -> Refused | None:
    """Why a challenger may not begin to answer users."""
    plan = keeper.plan
    is_new = bool(uri) and uri != plan.breached and (plan.canary is None or plan.canary.uri != uri)
    if not options.canary or not is_new or options.allow_unattested:
        return None
    try:
        keeper.beside(lambda: check_attested(Seat(split_uri(uri)[0], CHALLENGER), uri, follows=True))
    except Refused as error:
        return error
    return None


def _change(keeper: Keeper, uri: str, backend: Backend, options: Options) -> None:
    tried = _trying(keeper.plan, uri, options)
    if tried == keeper.plan:
        return
    if tried.canary or tried.shadow:
        keeper.load(uri, backend, options.engine)
    before = keeper.plan  # its canary may have been ended meanwhile
    keeper.write(_trying(before, uri, options).pruned())
    _tell(keeper, before)


def _trying(plan: Plan, uri: str, options: Options) -> Plan:
    """The plan with a challenger as the options say; one that did worse before gets no share any more."""
    breached = plan.breached if plan.breached == uri else ""
    share = options.canary if uri and not breached else 0.0
    canary = plan.canary
    if not share or canary is None or (canary.uri, canary.percent) != (uri, share):
        canary = Canary(uri, share, time.time()) if share else None
    return replace(plan, canary=canary, shadow=uri if options.shadow else "", breached=breached)


def judge(keeper: Keeper) -> None:
    """End a canary that does worse than what it is to replace, for as long as the alias names it."""
    canary, current = keeper.plan.canary, keeper.plan.current
    if canary is None:
        return
    reports = [one for one in read_reports(keeper.folder) if one.trial == canary.since]
    now, tried = (add_up(one.tallies.get(uri, Tally()) for one in reports) for uri in (current, canary.uri))
    if line := find_breach(now, tried):
        keeper.write(replace(keeper.plan, canary=None, breached=canary.uri))
        told = f"{canary.uri} did worse than {current}, and answers nobody any more: {line}"
        keeper.tell("breach", told, release=canary.uri)


def _tell(keeper: Keeper, before: Plan) -> None:
    plan = keeper.plan
    if plan.canary != before.canary and plan.canary:
        told = f"{plan.canary.uri} answers {plan.canary.percent:g} % of the users."
        keeper.tell("canary", told, release=plan.canary.uri, percent=plan.canary.percent)
    elif plan.canary != before.canary and before.canary:
        keeper.tell("canary ended", f"{before.canary.uri} answers nobody any more.", release=before.canary.uri)
    if plan.shadow != before.shadow:
        told = f"{plan.shadow} answers copies." if plan.shadow else f"{before.shadow} answers no copies any more."
        keeper.tell("shadow", told, release=plan.shadow or before.shadow)
