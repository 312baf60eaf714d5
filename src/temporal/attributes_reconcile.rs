//! Reconciles the namespace's search attributes with what the types declare.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{
    connection::{CallError, Link},
    schedules::book::Book,
};
use crate::{
    registry::{AttributeStatus, AttributeType, Command, Provisioned, SearchAttribute},
    seams::{
        ActualAttribute, Reads, WriteError, Writes,
        reconcile::{
            Affected, Conflict, ExistingAttribute, ReconcileError, ReconcileMode, ReconcileReport,
            ReconcileRequest, Reconciles,
        },
    },
    view::View,
};

/// How long the first look at all schedules is waited for.
const SCHEDULES_WITHIN: Duration = Duration::from_secs(20);
/// How often attributes that clash are compared again: somebody may have removed the other one.
const COMPARE_EVERY: Duration = Duration::from_secs(30);

/// Reconciles search attributes.
pub struct AttributeReconciler {
    link: Arc<Link>,
    reads: Arc<dyn Reads>,
    writes: Arc<dyn Writes>,
    book: Arc<Book>,
}

impl AttributeReconciler {
    /// A reconciler; attributes that clash are compared again from time to time for as long as this process runs.
    pub fn start(
        link: Arc<Link>,
        reads: Arc<dyn Reads>,
        writes: Arc<dyn Writes>,
        book: Arc<Book>,
    ) -> Arc<Self> {
        let reconciler = Arc::new(Self { link, reads, writes, book });
        let comparing = reconciler.clone();
        tokio::spawn(async move { comparing.compare_again().await });
        reconciler
    }

    async fn compare_again(&self) {
        let mut every = tokio::time::interval(COMPARE_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let view = self.reads.view();
            let clashing = view.attributes.values().filter(|known| is_conflict(&known.status));
            let clashing: Vec<(String, AttributeType)> = clashing.map(|a| (a.name.clone(), a.kind)).collect();
            if clashing.is_empty() {
                continue;
            }
            let Ok(actual) = self.link.search_attributes().await else { continue };
            let settled = clashing.into_iter().filter(|(name, kind)| kind_of(&actual, name) == Some(*kind));
            let settled: Vec<_> = settled.collect();
            if let Err(error) = self.ready(&settled).await {
                tracing::debug!(?error, "search attributes that clashed cannot be taken for ready yet");
            }
        }
    }

    /// Proves attributes by use, and tells the registry that they are ready.
    async fn ready(&self, attributes: &[(String, AttributeType)]) -> Result<(), ReconcileError> {
        let view = self.reads.view();
        let mut ready = Vec::new();
        for (name, kind) in attributes {
            let known = view.attributes.get(name);
            if known.is_some_and(|known| known.kind == *kind && known.status != AttributeStatus::Ready) {
                self.link.prove(name, *kind).await.map_err(unanswered)?;
                ready.push(Provisioned { name: name.clone(), kind: *kind, status: AttributeStatus::Ready });
            }
        }
        self.tell(ready).await
    }

    async fn tell(&self, results: Vec<Provisioned>) -> Result<(), ReconcileError> {
        if results.is_empty() {
            return Ok(());
        }
        let told = self.writes.submit(&Command::Provisioned(results)).await;
        told.map(drop).map_err(|error: WriteError| ReconcileError::Unanswered(error.to_string()))
    }

    /// Compares, and plans what is asked for without doing any of it.
    async fn plan(&self, request: &ReconcileRequest) -> Result<ReconcileReport, ReconcileError> {
        let view = self.reads.view();
        let mut warnings = Vec::new();
        let declared = declared(&view, &mut warnings);
        let names: BTreeSet<&String> = request.attributes.iter().collect();
        let unknown: Vec<String> =
            names.iter().filter(|name| !declared.contains_key(**name)).map(|name| (*name).clone()).collect();
        if !unknown.is_empty() {
            return Err(ReconcileError::Unknown(unknown));
        }
        let is_asked = |name: &String| names.is_empty() || names.contains(name);
        let desired: Vec<SearchAttribute> =
            declared.into_iter().filter(|(name, _)| is_asked(name)).map(|(_, wanted)| wanted).collect();
        let actual = self.link.search_attributes().await.map_err(unanswered)?;
        let slots = self.link.attribute_slots(&actual).await.map_err(unanswered)?;
        let (mut missing, mut conflicts, mut unchanged) = (Vec::new(), Vec::new(), Vec::new());
        for wanted in &desired {
            match actual.get(&wanted.name) {
                None => missing.push(wanted.clone()),
                Some(found) if found.kind == Some(wanted.kind) => unchanged.push(wanted.clone()),
                Some(found) => conflicts.push(Conflict {
                    name: wanted.name.clone(),
                    existing: found.kind,
                    desired: wanted.kind,
                    system: found.system,
                }),
            }
        }
        for (kind, slots) in &slots {
            let more = missing.iter().filter(|wanted| wanted.kind == *kind).count();
            if let Some(limit) = slots.limit
                && slots.used + more > limit
            {
                warnings.push(format!(
                    "{} of {limit} {} attributes are taken: there is no room for {more} more",
                    slots.used,
                    kind.name()
                ));
            }
        }
        let affected = self.affected(&view, &conflicts, &mut warnings).await;
        let existing = actual.into_iter().map(|(name, found)| ExistingAttribute {
            name,
            kind: found.kind,
            system: found.system,
        });
        let mut existing: Vec<ExistingAttribute> = existing.collect();
        existing.sort_by(|one, other| (one.system, &one.name).cmp(&(other.system, &other.name)));
        Ok(ReconcileReport {
            mode: request.mode,
            desired,
            existing,
            missing,
            conflicts,
            added: Vec::new(),
            replaced: Vec::new(),
            unchanged,
            warnings,
            slots,
            affected,
        })
    }

    async fn affected(&self, view: &View, conflicts: &[Conflict], warnings: &mut Vec<String>) -> Affected {
        if conflicts.is_empty() {
            return Affected::default();
        }
        let names: Vec<String> = conflicts.iter().map(|conflict| conflict.name.clone()).collect();
        let declares = |name: &str| names.iter().any(|conflicting| conflicting == name);
        let types = view.types.values().filter(|entry| {
            entry.current.spec.search_attributes.iter().any(|attribute| declares(&attribute.name))
        });
        let workflow_types = types.map(|entry| entry.workflow_type().to_owned()).collect();
        let schedules = self.book.setting(&names, SCHEDULES_WITHIN).await.unwrap_or_else(|why| {
            warnings.push(format!("the schedules that a replacement touches are not known: {why}"));
            Vec::new()
        });
        Affected { workflow_types, schedules }
    }

    /// Adds what is missing; what Temporal has no room for is warned of, and the registry told.
    async fn add(&self, report: &mut ReconcileReport) -> Result<(), ReconcileError> {
        let wanted: Vec<(String, AttributeType)> =
            report.missing.iter().map(|wanted| (wanted.name.clone(), wanted.kind)).collect();
        let refused = self.link.add_what_fits(&wanted).await.map_err(unanswered)?;
        let (kept_out, added): (Vec<SearchAttribute>, Vec<SearchAttribute>) =
            report.missing.iter().cloned().partition(|wanted| refused.contains_key(&wanted.name));
        report.added = added;
        let refusal = |wanted: &SearchAttribute| Provisioned {
            name: wanted.name.clone(),
            kind: wanted.kind,
            status: AttributeStatus::Conflict(refused.get(&wanted.name).cloned().unwrap_or_default()),
        };
        self.tell(kept_out.iter().map(refusal).collect()).await?;
        report.warnings.extend(refused.iter().map(|(name, why)| format!("{name} was not added: {why}")));
        Ok(())
    }

    /// Removes what conflicts and makes it again.
    async fn replace(&self, report: &mut ReconcileReport) -> Result<(), ReconcileError> {
        let names: Vec<String> = report.conflicts.iter().map(|conflict| conflict.name.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        self.link.remove_search_attributes(&names).await.map_err(unanswered)?;
        let wanted: Vec<(String, AttributeType)> =
            report.conflicts.iter().map(|conflict| (conflict.name.clone(), conflict.desired)).collect();
        let gone = || format!("{} were removed and are not back yet; ensure adds them", names.join(", "));
        let refused = self
            .link
            .add_what_fits(&wanted)
            .await
            .map_err(|error| ReconcileError::Unanswered(format!("{}: {error}", gone())))?;
        let is_back =
            |wanted: &&SearchAttribute| names.contains(&wanted.name) && !refused.contains_key(&wanted.name);
        report.replaced = report.desired.iter().filter(is_back).cloned().collect();
        for (name, why) in &refused {
            report.warnings.push(format!("{name} was removed, but not made again: {why}"));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Reconciles for AttributeReconciler {
    async fn reconcile(&self, request: &ReconcileRequest) -> Result<ReconcileReport, ReconcileError> {
        let mut report = self.plan(request).await?;
        match request.mode {
            ReconcileMode::Validate => return Ok(report),
            ReconcileMode::Ensure if !report.conflicts.is_empty() => {
                report.warnings.push("nothing was added, because of the conflicts".to_owned());
                return Ok(report);
            }
            ReconcileMode::Ensure => self.add(&mut report).await?,
            ReconcileMode::Replace if !request.confirm || request.attributes.is_empty() => {
                return Err(ReconcileError::Unconfirmed(Box::new(report)));
            }
            ReconcileMode::Replace => {
                let system = report.conflicts.iter().filter(|conflict| conflict.system);
                let system: Vec<String> = system.map(|conflict| conflict.name.clone()).collect();
                if !system.is_empty() {
                    return Err(ReconcileError::System(system));
                }
                self.replace(&mut report).await?;
                self.add(&mut report).await?;
            }
        }
        let done = report.unchanged.iter().chain(&report.added).chain(&report.replaced);
        let done: Vec<(String, AttributeType)> = done.map(|a| (a.name.clone(), a.kind)).collect();
        self.ready(&done).await?;
        Ok(report)
    }
}

/// What the types declare, by name. Of several types for one name the first declared counts.
fn declared(view: &View, warnings: &mut Vec<String>) -> BTreeMap<String, SearchAttribute> {
    let mut declared: BTreeMap<String, SearchAttribute> = BTreeMap::new();
    for entry in view.types.values() {
        for wanted in &entry.current.spec.search_attributes {
            let kind = view.attributes.get(&wanted.name).map_or(wanted.kind, |known| known.kind);
            if kind != wanted.kind {
                warnings.push(format!(
                    "{} is declared as {} by {}, as {} by another type before it",
                    wanted.name,
                    wanted.kind.name(),
                    entry.workflow_type(),
                    kind.name()
                ));
                continue;
            }
            declared.entry(wanted.name.clone()).or_insert_with(|| wanted.clone());
        }
    }
    declared
}

fn kind_of(actual: &BTreeMap<String, ActualAttribute>, name: &str) -> Option<AttributeType> {
    actual.get(name)?.kind
}

fn is_conflict(status: &AttributeStatus) -> bool {
    match status {
        AttributeStatus::Conflict(_) => true,
        AttributeStatus::Pending | AttributeStatus::Ready => false,
    }
}

fn unanswered(error: CallError) -> ReconcileError {
    match error {
        CallError::Invalid(why) => ReconcileError::Refused(why),
        error => ReconcileError::Unanswered(error.to_string()),
    }
}
