//! Search attributes that types declare, and whether Temporal has them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{AttributeType, Spec, changes::Key, size, state::Registry};

/// A declared search attribute and what is known of it in the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Name in the namespace.
    pub name: String,
    /// The type it was first declared with.
    pub kind: AttributeType,
    /// What is known of it in the namespace.
    pub status: AttributeStatus,
    /// Registry revision of the last change.
    pub changed: u64,
}

/// What is known of a declared attribute in the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttributeStatus {
    /// Not provisioned yet.
    Pending,
    /// There, with the declared type, and usable.
    Ready,
    /// Not usable, and why; needs an operator.
    Conflict(String),
}

/// What came of provisioning one attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioned {
    /// Name in the namespace.
    pub name: String,
    /// The type that was asked for.
    pub kind: AttributeType,
    /// The outcome.
    pub status: AttributeStatus,
}

impl Registry {
    /// Attributes that wait to be provisioned, by name.
    pub fn pending_attributes(&self) -> Vec<Attribute> {
        let pending = |a: &&Attribute| a.status == AttributeStatus::Pending;
        self.state.attributes.values().filter(pending).cloned().collect()
    }

    /// Whether any attribute waits to be provisioned.
    pub fn has_pending(&self) -> bool {
        self.state.attributes.values().any(|a| a.status == AttributeStatus::Pending)
    }

    /// Why a spec's attributes keep it from being started: `(still pending, reason)`.
    pub fn attributes_hold(&self, spec: &Spec) -> Option<(bool, String)> {
        spec_hold(spec, |name| self.state.attributes.get(name))
    }

    /// The first declaration of a spec that cannot hold beside the others in it, what other types declare or the
    /// namespace has.
    pub(super) fn attribute_clash(&self, spec: &Spec) -> Option<(String, String)> {
        spec.search_attributes.iter().find_map(|wanted| {
            if let Some(kind) = declared_kinds(spec, &wanted.name).find(|kind| *kind != wanted.kind) {
                let reason = format!("declared both as {} and as {}", wanted.kind.name(), kind.name());
                return Some((wanted.name.clone(), reason));
            }
            let known = self.state.attributes.get(&wanted.name)?;
            if known.kind != wanted.kind {
                let other = self.declared_by(&wanted.name, wanted.kind, &spec.workflow_type)?;
                let reason =
                    format!("declared as {} by {other}, as {} here", known.kind.name(), wanted.kind.name());
                return Some((wanted.name.clone(), reason));
            }
            match &known.status {
                AttributeStatus::Conflict(reason) => Some((wanted.name.clone(), reason.clone())),
                AttributeStatus::Pending | AttributeStatus::Ready => None,
            }
        })
    }

    fn declared_by(&self, name: &str, unlike: AttributeType, except: &str) -> Option<String> {
        let declares =
            |spec: &Spec| spec.search_attributes.iter().any(|a| a.name == name && a.kind != unlike);
        let mut others = self.state.types.values().filter(|entry| entry.workflow_type() != except);
        others.find(|entry| declares(&entry.current.spec)).map(|entry| entry.workflow_type().to_owned())
    }

    pub(super) fn declare_attributes(&mut self, spec: &Spec) {
        for wanted in &spec.search_attributes {
            let known = self.state.attributes.get(&wanted.name);
            let free = known.is_none_or(|known| {
                known.kind != wanted.kind
                    && self.declared_by(&wanted.name, wanted.kind, &spec.workflow_type).is_none()
            });
            if free {
                let kind = wanted.kind;
                self.put_attribute(&wanted.name, kind, AttributeStatus::Pending);
            }
        }
    }

    /// After a spec went: drops what nobody declares any more, and gives what others declare otherwise to them.
    pub(super) fn release_attributes(&mut self, gone: &Spec) {
        for wanted in &gone.search_attributes {
            let Some(known) = self.state.attributes.get(&wanted.name) else { continue };
            let declared =
                self.state.types.values().flat_map(|entry| declared_kinds(&entry.current.spec, &wanted.name));
            let kinds: BTreeSet<AttributeType> = declared.collect();
            if kinds.contains(&known.kind) {
                continue;
            }
            match kinds.first() {
                Some(kind) => self.put_attribute(&wanted.name, *kind, AttributeStatus::Pending),
                None => self.drop_attribute(&wanted.name),
            }
        }
    }

    pub(super) fn provisioned(&mut self, results: &[Provisioned]) {
        for result in results {
            let known = self.state.attributes.get(&result.name);
            if known.is_some_and(|known| known.kind == result.kind && known.status != result.status) {
                self.put_attribute(&result.name, result.kind, result.status.clone());
            }
        }
    }

    fn put_attribute(&mut self, name: &str, kind: AttributeType, status: AttributeStatus) {
        let known = self.state.attributes.get(name);
        let (before, bytes) = known.map_or((0, 0), |known| (known.changed, size::attribute(known)));
        self.shrink(bytes);
        let changed = self.touch(Key::Attribute(name.to_owned()), before);
        let attribute = Attribute { name: name.to_owned(), kind, status, changed };
        self.grow(size::attribute(&attribute));
        self.state.attributes.insert(name.to_owned(), attribute);
    }

    fn drop_attribute(&mut self, name: &str) {
        if let Some(known) = self.state.attributes.remove(name) {
            self.shrink(size::attribute(&known));
            self.bury(Key::Attribute(name.to_owned()), known.changed);
        }
    }
}

fn declared_kinds<'a>(spec: &'a Spec, name: &'a str) -> impl Iterator<Item = AttributeType> + 'a {
    spec.search_attributes.iter().filter(move |a| a.name == name).map(|a| a.kind)
}

/// Why a spec's attributes keep it from being started, by any view of the declared attributes.
pub fn spec_hold<'a>(spec: &Spec, known: impl Fn(&str) -> Option<&'a Attribute>) -> Option<(bool, String)> {
    let mut pending = None;
    for wanted in &spec.search_attributes {
        let name = &wanted.name;
        match known(name) {
            Some(found) if found.kind != wanted.kind => {
                let reason =
                    format!("search attribute {name}: declared as {} by another type", found.kind.name());
                return Some((false, reason));
            }
            Some(Attribute { status: AttributeStatus::Conflict(reason), .. }) => {
                return Some((false, format!("search attribute {name}: {reason}")));
            }
            Some(Attribute { status: AttributeStatus::Ready, .. }) => {}
            Some(Attribute { status: AttributeStatus::Pending, .. }) | None => {
                pending.get_or_insert_with(|| format!("search attribute {name}: being provisioned"));
            }
        }
    }
    pending.map(|reason| (true, reason))
}
