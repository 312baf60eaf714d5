//! Makes declared search attributes ready in the namespace.
#![allow(missing_docs, reason = "the activity macro generates a constant without documentation")]

use std::sync::Arc;

use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use super::connection::Link;
use crate::registry::{Attribute, Provisioned};

/// The activity that the registry workflow calls.
pub struct Provisioner {
    /// Where to provision.
    pub link: Arc<Link>,
}

#[activities]
impl Provisioner {
    /// Adds what is missing, compares what is there, and proves by use that it can be used.
    #[activity]
    pub async fn provision(
        self: Arc<Self>,
        _ctx: ActivityContext,
        wanted: Vec<Attribute>,
    ) -> Result<Vec<Provisioned>, ActivityError> {
        Ok(self.link.provision_attributes(&wanted).await?)
    }
}
