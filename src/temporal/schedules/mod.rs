//! Schedules: what a caller may ask for, when it fires, and the calls that make Temporal do it.
//!
//! [`request`] is what is asked, [`spec::compile`] checks it and works out its times, [`preview`] foretells them,
//! [`action`] and [`times`] put it into Temporal's words and read them back, [`calls`] talks to the server.
//! [`desk`] does what the front door asks, [`reconcile`] keeps schedules true to their types, [`fire`] resolves a
//! target when a schedule fires.

mod advice;
mod check;
mod patches;
mod told;
mod turns;

pub mod action;
pub mod book;
pub mod calendar;
pub mod calls;
pub mod cron;
pub mod description;
pub mod desk;
pub mod error;
pub mod field;
pub mod finish;
pub mod fire;
pub mod fit;
pub mod listing;
pub mod preview;
pub mod reconcile;
pub mod spec;
pub mod stamp;
pub mod times;

pub use crate::seams::schedules::{request, state};
