//! Search attributes of the namespace: what is there, and making there what is declared.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use temporalio_common::protos::temporal::api::{
    enums::v1::IndexedValueType,
    operatorservice::v1::{
        AddSearchAttributesRequest, ListSearchAttributesRequest, RemoveSearchAttributesRequest,
    },
    workflowservice::v1::{CountWorkflowExecutionsRequest, DescribeNamespaceRequest},
};
use tokio::time::Instant;

use super::connection::{CALL_TIMEOUT, CallError, Link, within};
use crate::{
    registry::{Attribute, AttributeStatus, AttributeType, Provisioned},
    seams::{
        ActualAttribute, Attributes, Unanswered,
        reconcile::{SlotSource, Slots},
    },
};

/// How long a new attribute may take to become usable.
const USABLE_WITHIN: Duration = Duration::from_secs(30);
/// Visibility allows ten calls a second in a namespace; this leaves most of them to others.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// Temporal takes one change of a namespace a second; a little more keeps clear of its clock.
const CHANGE_EVERY: Duration = Duration::from_millis(1_100);
/// How often a change that came too soon after somebody else's is tried.
const CHANGE_ATTEMPTS: u32 = 5;

/// All types, in the order of their names in reports.
pub const KINDS: [AttributeType; 7] = [
    AttributeType::Keyword,
    AttributeType::KeywordList,
    AttributeType::Text,
    AttributeType::Int,
    AttributeType::Double,
    AttributeType::Bool,
    AttributeType::Datetime,
];

/// Keeps changes of the namespace apart, and remembers the limits that Temporal told.
#[derive(Default)]
pub struct Pace {
    last_change: tokio::sync::Mutex<Option<Instant>>,
    told: Mutex<BTreeMap<AttributeType, usize>>,
}

/// A change of the namespace's search attributes.
enum Change {
    Add(HashMap<String, i32>),
    Remove(Vec<String>),
}

/// Temporal's number of a type.
pub fn to_proto(kind: AttributeType) -> IndexedValueType {
    match kind {
        AttributeType::Keyword => IndexedValueType::Keyword,
        AttributeType::KeywordList => IndexedValueType::KeywordList,
        AttributeType::Text => IndexedValueType::Text,
        AttributeType::Int => IndexedValueType::Int,
        AttributeType::Double => IndexedValueType::Double,
        AttributeType::Bool => IndexedValueType::Bool,
        AttributeType::Datetime => IndexedValueType::Datetime,
    }
}

fn from_proto(number: i32) -> Option<AttributeType> {
    let number = IndexedValueType::try_from(number).ok()?;
    KINDS.into_iter().find(|kind| to_proto(*kind) == number)
}

/// How many columns SQL visibility has for a type.
fn sql_columns(kind: AttributeType) -> usize {
    if kind == AttributeType::Keyword { 10 } else { 3 }
}

/// A value of a type as a query has it. Every type takes its own and refuses some other's, so that an attribute that
/// frontends still know by an older type is not taken for ready.
fn literal(kind: AttributeType) -> &'static str {
    match kind {
        AttributeType::Keyword | AttributeType::KeywordList | AttributeType::Text => "'x'",
        AttributeType::Int => "1",
        AttributeType::Double => "1.5",
        AttributeType::Bool => "true",
        AttributeType::Datetime => "'2020-01-01T00:00:00Z'",
    }
}

/// Whether a query can name it. Temporal itself takes any name at all.
fn is_queryable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['`', '\'', '"', '\\']) && !name.contains(char::is_control)
}

/// The limit in Temporal's refusal of one attribute more.
fn told_limit(reason: &str) -> Option<(AttributeType, usize)> {
    let (_, rest) = reason.split_once("cannot have more than ")?;
    let (number, rest) = rest.split_once(' ')?;
    let (_, kind) = rest.split_once("of type ")?;
    let kind = kind.trim_end_matches(|c: char| !c.is_ascii_alphabetic());
    Some((KINDS.into_iter().find(|known| known.name() == kind)?, number.parse().ok()?))
}

impl Link {
    /// The search attributes of the namespace, by name.
    pub async fn search_attributes(&self) -> Result<BTreeMap<String, ActualAttribute>, CallError> {
        let request = ListSearchAttributesRequest { namespace: self.namespace() };
        let answer =
            self.operator().list_search_attributes(within(request, CALL_TIMEOUT)).await?.into_inner();
        let of = |system: bool| {
            move |(name, number): (String, i32)| (name, ActualAttribute { kind: from_proto(number), system })
        };
        let system = answer.system_attributes.into_iter().map(of(true));
        Ok(system.chain(answer.custom_attributes.into_iter().map(of(false))).collect())
    }

    /// How much room the namespace has for attributes of each type.
    pub async fn attribute_slots(
        &self,
        actual: &BTreeMap<String, ActualAttribute>,
    ) -> Result<BTreeMap<AttributeType, Slots>, CallError> {
        let request = DescribeNamespaceRequest { namespace: self.namespace(), ..Default::default() };
        let answer = self.service().describe_namespace(within(request, CALL_TIMEOUT)).await?.into_inner();
        let columns = answer.config.unwrap_or_default().custom_search_attribute_aliases;
        let told = self.pace.told.lock().clone();
        let custom = || actual.values().filter(|attribute| !attribute.system);
        let slots = |kind: AttributeType| {
            let used = custom().filter(|attribute| attribute.kind == Some(kind)).count();
            let (limit, source) = match told.get(&kind) {
                Some(limit) => (Some(*limit), SlotSource::Told),
                None if !columns.is_empty() => (Some(sql_columns(kind)), SlotSource::Columns),
                None if custom().next().is_none() => (Some(sql_columns(kind)), SlotSource::Assumed),
                None => (None, SlotSource::Unlimited),
            };
            (kind, Slots { used, limit, source })
        };
        Ok(KINDS.into_iter().map(slots).collect())
    }

    /// Adds attributes to the namespace. Temporal takes an existing name of another type in silence: compare before.
    pub async fn add_search_attributes(&self, wanted: &[(String, AttributeType)]) -> Result<(), CallError> {
        let numbered = wanted.iter().map(|(name, kind)| (name.clone(), to_proto(*kind).into()));
        match self.change(&Change::Add(numbered.collect())).await {
            Ok(()) | Err(CallError::AlreadyExists { .. }) => Ok(()),
            Err(CallError::Invalid(reason)) => {
                self.pace.told.lock().extend(told_limit(&reason));
                Err(CallError::Invalid(reason))
            }
            Err(error) => Err(error),
        }
    }

    /// Removes custom attributes from the namespace; what runs have in them can no longer be found by them.
    pub async fn remove_search_attributes(&self, names: &[String]) -> Result<(), CallError> {
        self.change(&Change::Remove(names.to_vec())).await
    }

    /// Makes one change of the namespace, at least a second after the last one.
    async fn change(&self, change: &Change) -> Result<(), CallError> {
        let mut last = self.pace.last_change.lock().await;
        let mut attempts = 0;
        loop {
            if let Some(last) = *last {
                tokio::time::sleep_until(last + CHANGE_EVERY).await;
            }
            let outcome = self.send_change(change).await;
            *last = Some(Instant::now());
            attempts += 1;
            match outcome {
                Err(CallError::Exhausted(_)) if attempts < CHANGE_ATTEMPTS => {}
                outcome => return outcome,
            }
        }
    }

    async fn send_change(&self, change: &Change) -> Result<(), CallError> {
        let namespace = self.namespace();
        match change {
            Change::Add(attributes) => {
                let search_attributes = attributes.clone();
                let request = AddSearchAttributesRequest { namespace, search_attributes };
                self.operator().add_search_attributes(within(request, CALL_TIMEOUT)).await?;
            }
            Change::Remove(names) => {
                let search_attributes = names.clone();
                let request = RemoveSearchAttributesRequest { namespace, search_attributes };
                self.operator().remove_search_attributes(within(request, CALL_TIMEOUT)).await?;
            }
        }
        Ok(())
    }

    /// Adds attributes in one call if Temporal takes them together, otherwise one by one, so that those for which there
    /// is no room do not keep out the others. Tells why those that were refused were.
    pub async fn add_what_fits(
        &self,
        wanted: &[(String, AttributeType)],
    ) -> Result<BTreeMap<String, String>, CallError> {
        let mut refused = BTreeMap::new();
        if wanted.is_empty() {
            return Ok(refused);
        }
        match self.add_search_attributes(wanted).await {
            Ok(()) => return Ok(refused),
            Err(CallError::Invalid(reason)) if wanted.len() == 1 => {
                refused.insert(wanted[0].0.clone(), reason);
                return Ok(refused);
            }
            Err(CallError::Invalid(_)) => {}
            Err(error) => return Err(error),
        }
        for one in wanted {
            match self.add_search_attributes(std::slice::from_ref(one)).await {
                Ok(()) => {}
                Err(CallError::Invalid(reason)) => {
                    refused.insert(one.0.clone(), reason);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }

    /// Makes attributes ready: compares, adds what is missing, and proves each by use.
    pub async fn provision_attributes(&self, wanted: &[Attribute]) -> Result<Vec<Provisioned>, CallError> {
        let mut actual = self.search_attributes().await?;
        let missing: Vec<(String, AttributeType)> = wanted
            .iter()
            .filter(|a| !actual.contains_key(&a.name) && is_queryable(&a.name))
            .map(|a| (a.name.clone(), a.kind))
            .collect();
        let refused = self.add_what_fits(&missing).await?;
        if !missing.is_empty() {
            actual = self.search_attributes().await?;
        }
        let mut results = Vec::with_capacity(wanted.len());
        for attribute in wanted {
            let status = match actual.get(&attribute.name) {
                _ if !is_queryable(&attribute.name) => {
                    AttributeStatus::Conflict("no query could name it: quotes and backslashes".to_owned())
                }
                Some(found) if found.kind == Some(attribute.kind) => {
                    self.prove(&attribute.name, attribute.kind).await?;
                    AttributeStatus::Ready
                }
                Some(found) => AttributeStatus::Conflict(clash(found.kind, attribute.kind)),
                None => match refused.get(&attribute.name) {
                    Some(reason) => AttributeStatus::Conflict(reason.clone()),
                    // Listed by another frontend in a moment: the activity is tried again.
                    None => {
                        return Err(CallError::Unanswered(format!("{} is not listed yet", attribute.name)));
                    }
                },
            };
            results.push(Provisioned { name: attribute.name.clone(), kind: attribute.kind, status });
        }
        Ok(results)
    }

    /// Uses an attribute in a query until Temporal takes it.
    pub async fn prove(&self, name: &str, kind: AttributeType) -> Result<(), CallError> {
        let prove = async {
            loop {
                let literal = literal(kind);
                let request = CountWorkflowExecutionsRequest {
                    namespace: self.namespace(),
                    query: format!("`{name}` = {literal} AND WorkflowId = 'temporal-registry-probe'"),
                };
                let answer = self.service().count_workflow_executions(within(request, CALL_TIMEOUT)).await;
                match answer.map_err(CallError::from) {
                    Ok(_) => return Ok(()),
                    Err(CallError::Invalid(_) | CallError::Exhausted(_)) => {}
                    Err(error) => return Err(error),
                }
                tokio::time::sleep(PROBE_EVERY).await;
            }
        };
        tokio::time::timeout(USABLE_WITHIN, prove)
            .await
            .unwrap_or_else(|_| Err(CallError::Unanswered(format!("{name} is not usable yet"))))
    }
}

/// Why an attribute of another type keeps a declared one out.
fn clash(there: Option<AttributeType>, declared: AttributeType) -> String {
    let there = there.map_or("another type", AttributeType::name);
    format!("exists in the namespace as {there}, declared as {}", declared.name())
}

#[async_trait::async_trait]
impl Attributes for Link {
    async fn actual(&self) -> Result<BTreeMap<String, ActualAttribute>, Unanswered> {
        self.search_attributes().await.map_err(|error| Unanswered(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_limit_out_of_a_refusal() {
        let table = [
            (
                "Unable to create search attributes: cannot have more than 3 search attribute of type Datetime.",
                Some((AttributeType::Datetime, 3)),
            ),
            ("cannot have more than 10 search attribute of type Keyword", Some((AttributeType::Keyword, 10))),
            ("cannot have more than ten search attribute of type Keyword", None),
            ("cannot have more than 10 search attribute of type Colour", None),
            ("Search attribute WorkflowType is reserved by system.", None),
        ];
        for (reason, expected) in table {
            assert_eq!(told_limit(reason), expected, "{reason}");
        }
    }

    #[test]
    fn names_that_no_query_can_hold_are_known() {
        for (name, expected) in
            [("Customer", true), ("two words", true), ("a`b", false), ("", false), ("a\n", false)]
        {
            assert_eq!(is_queryable(name), expected, "{name:?}");
        }
    }
}
