"""The part of the lab that asks the gate and approves what it approved: see `Lab`."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from quantlab.backtest.markets import plain_surface
from quantlab.errors import InputError, NotStoredError
from quantlab.lab.documents import Approval, Judged, approved_before, draft, put_document
from quantlab.lab.holding import HoldingOut
from quantlab.lab.ledger import count_outside, standing
from quantlab.lab.nulls import StoredNulls
from quantlab.market.candles import Candles
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
        """
        surface = searched.surface if isinstance(searched, Study) else searched
        whole, surface = surface, plain_surface(surface)
        candles, gate = candles or self._known(surface.identity), gate or Gate()
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
        how: dict[str, Any] = {"earlier": nulls.earlier(), "drawn": nulls.keep, "progress": progress}
        try:
            verdict = validate(surface, candles, gate=gate, search=again, standing=place, **how)
        except Interrupted as error:
            nulls.keep(error.rerun)
            raise
        judged = self._judged[surface.key] = Judged(surface, candles, method, seed, _now(), whole)
        put_document(self.store, self._document(verdict))
        document = {"verdict": verdict.to_json(), "created_at": judged.created_at}
        self.store.put_verdict(key, surface.key, document)
        nulls.drop()
        return verdict

    def approve(self, verdict: Verdict, *, by: str, reason: str) -> Approval:
        """Approve what the gate approved: the row becomes active and the V3 document is exported.

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

        draft = self._document(verdict)
        # first, so that a refusal is refused even where an earlier approval of the same cell is in force
        fresh = document.approve(draft, by=by, reason=reason, at=_now())
        approved = approved_before(self.store, draft) or fresh
        row_id, payload = put_document(self.store, approved)
        if not any(str(row["id"]) == row_id for row in self.store.active_configurations()):
            self.store.approve(row_id, hashlib.sha256(payload).hexdigest(), by, reason)
        path = export.write(approved, self.settings.home / "configurations")
        reader.read(path)
        return Approval(row_id, canonical.config_id(approved), path)

    def _origin(self, verdict: Verdict) -> Judged:
        if verdict.surface_key not in self._judged:
            raise InputError("this verdict was not made by this lab: call lab.validate on its surface first.")
        return self._judged[verdict.surface_key]

    def _document(self, verdict: Verdict) -> dict[str, Any]:
        return draft(self._origin(verdict), verdict, self._touches(verdict.market["family"]))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
