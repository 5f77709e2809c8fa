"""The part of the lab that asks the gate and approves what it approved: see `Lab`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from quantlab.backtest.markets import plain_surface
from quantlab.errors import InputError, NotStoredError
from quantlab.lab.documents import Approval, Judged, approved_before, drafts, put_document
from quantlab.lab.given import as_gate, as_surface, check_verdict
from quantlab.lab.holding import HoldingOut
from quantlab.lab.ledger import count_outside, standing
from quantlab.lab.nulls import StoredNulls
from quantlab.market.candles import Candles, check_candles
from quantlab.search.study import Study
from quantlab.validation.gate import validate, verdict_key
from quantlab.validation.rerun import Interrupted
from quantlab.validation.thresholds import Gate
from quantlab.validation.verdict import Verdict

if TYPE_CHECKING:
    from quantlab.backtest.surface import CandlesIdentity, Surface
    from quantlab.settings import Settings


class Judging(HoldingOut):
    """What a `Lab` does with verdicts."""

    settings: Settings
    _judged: dict[str, Judged]
    _searches: dict[str, str]

    if TYPE_CHECKING:

        def _known(self, where: CandlesIdentity) -> Candles: ...

    def configuration_id(self, verdict: Verdict) -> str:
        """The id of the row in ``trained_configurations`` that belongs to a verdict of this lab."""
        from quantlab.configuration import row

        return str(row.columns(self._document(verdict))["id"])

    def validate(
        self,
        searched: Surface | Study,
        candles: Candles | None = None,
        *,
        gate: Gate | None = None,
        progress: bool = True,
        cluster: Any = None,
    ) -> Verdict:
        """Ask the gate whether what a sweep or a search found is real; evidence and reasons, stored.

        `alpha` of the gate is the budget of false approvals for all searches on the same data; this one may
        spend the share of its place among them, which the verdict names.
        The candidate's row is written to ``trained_configurations`` whatever the verdict. The same question
        again returns the stored answer; interrupted or killed, it goes on where it was, to the same verdict.

        Parameters
        ----------
        searched : Surface or Study
        candles : Candles, optional
            By default the candles that this lab handed out or swept.
        gate : Gate, optional
            Thresholds.
        progress : bool
        cluster : distributed.Client, Dask cluster or str, optional
            Search null markets on its workers: the same verdict.
        """
        whole = as_surface(searched)
        surface, gate = plain_surface(whole), as_gate(gate)
        candles = self._known(surface.identity) if candles is None else candles
        check_candles(candles)
        again = (lambda part: searched.again(part).surface) if isinstance(searched, Study) else None
        key = verdict_key(surface, gate)
        method, seed = (searched.sampler, searched.seed) if isinstance(searched, Study) else ("grid", None)
        try:
            kept = self.store.get_verdict(key)
            self._judged[surface.key] = Judged(surface, candles, method, seed, kept["created_at"], whole)
            return Verdict.from_json(kept["verdict"])
        except NotStoredError:
            pass
        late = count_outside(self.store, surface, method)
        place = standing(self.store, surface.identity, self._searches.get(surface.key, surface.key), late)
        nulls = StoredNulls(self.store, key)
        how: dict[str, Any] = {"earlier": nulls.earlier(), "drawn": nulls.keep}
        how |= {"progress": progress, "cluster": cluster}
        try:
            verdict = validate(surface, candles, gate=gate, search=again, standing=place, **how)
        except Interrupted as error:
            nulls.keep(error.rerun)
            raise
        judged = self._judged[surface.key] = Judged(surface, candles, method, seed, _now(), whole)
        for each in self._documents(verdict):
            put_document(self.store, each)
        document = {"verdict": verdict.to_json(), "created_at": judged.created_at}
        self.store.put_verdict(key, surface.key, document)
        nulls.drop()
        return verdict

    def approve(self, verdict: Verdict, *, by: str, reason: str) -> Approval:
        """Approve what the gate approved: the row becomes active and the V3 document is exported.

        Of an ensemble all members are approved and exported, or none; what was active before is deactivated.

        Parameters
        ----------
        verdict : Verdict
            From `validate`.
        by, reason : str
            Who takes responsibility, and why; part of the document for ever.

        Raises
        ------
        ConfigurationError
            The gate refused, the stage may not trade, or the two engines disagree.
        """
        from quantlab.configuration import canonical, document, export, reader

        drafts = self._documents(verdict)
        # first, so that a refusal is refused even where an earlier approval of the same cell is in force
        fresh = [document.approve(draft, by=by, reason=reason, at=_now()) for draft in drafts]
        before = [approved_before(self.store, draft) for draft in drafts]
        known = [earlier for earlier in before if earlier is not None]
        approved = known if len(known) == len(drafts) else fresh
        stored = {}
        for each in approved:
            row_id, payload = put_document(self.store, each)
            stored[row_id] = hashlib.sha256(payload).hexdigest()
        if len(known) < len(drafts):
            self._activate(approved, stored, by, reason)
        done = []
        for each, row_id in zip(approved, stored, strict=True):
            path = export.write(each, self.settings.home / "configurations")
            reader.read(path)
            done.append(Approval(row_id, canonical.config_id(each), path))
        return replace(done[0], members=tuple(done) if verdict.members else ())

    def _activate(
        self, approved: Sequence[dict[str, Any]], stored: dict[str, str], by: str, reason: str
    ) -> None:
        """One configuration, or all members of a group in one transaction."""
        if "group" in approved[0]:
            self.store.approve_group(approved[0]["group"]["id"], stored, by, reason)
            return
        for row_id, sha in stored.items():
            self.store.approve(row_id, sha, by, reason)

    def _origin(self, verdict: Verdict) -> Judged:
        check_verdict(verdict)
        if verdict.surface_key not in self._judged:
            raise InputError("this verdict was not made by this lab: call lab.validate on its surface first.")
        return self._judged[verdict.surface_key]

    def _documents(self, verdict: Verdict) -> list[dict[str, Any]]:
        return drafts(self._origin(verdict), verdict, self._touches(verdict.market["family"]))

    def _document(self, verdict: Verdict) -> dict[str, Any]:
        return self._documents(verdict)[0]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
