//! What the control procedures answer, as far as it is looked into. What a newer server tells
//! beside it is left alone.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use vestibule_client::Value;

use super::link::CtlError;

/// What a server is at: `vestibule.state`.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) role: String,
    pub(super) in_flight: u64,
    pub(super) connections: u64,
    pub(super) wanted: String,
    pub(super) transition: Option<UnderWay>,
}

/// A transition that is under way.
#[derive(Debug, Deserialize)]
pub(super) struct UnderWay {
    pub(super) to: String,
    pub(super) phase: String,
    /// In seconds; none if what runs has all the time.
    pub(super) left: Option<f64>,
}

/// What became of a change of role.
#[derive(Debug, Deserialize)]
pub(super) struct Outcome {
    pub(super) result: String,
    pub(super) transition: Option<Record>,
}

/// How a change of role went.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    /// In seconds.
    pub(super) took: f64,
    pub(super) finished: Counts,
    pub(super) revoked: Counts,
    pub(super) killed: Counts,
    pub(super) finished_transactions: u64,
    pub(super) aborted_transactions: u64,
    pub(super) unknown_transactions: u64,
}

/// Requests by class.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Counts(std::collections::BTreeMap<String, u64>);

impl Counts {
    /// Of all classes.
    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl Record {
    /// Requests that came to no end, or to an unknown one.
    pub(super) fn requests_cut_off(&self) -> u64 {
        self.revoked.total() + self.killed.total()
    }

    /// The same of transactions.
    pub(super) fn transactions_cut_off(&self) -> u64 {
        self.aborted_transactions + self.unknown_transactions
    }
}

/// What a kill has come to.
#[derive(Debug, Deserialize)]
pub(super) struct Killed {
    pub(super) connections: u64,
    pub(super) requests: u64,
}

/// Reads an answer.
///
/// # Errors
///
/// It is of another form.
pub(super) fn read<T: DeserializeOwned>(answer: &Value) -> Result<T, CtlError> {
    let bytes = packed(answer)?;
    rmp_serde::from_slice(&bytes).map_err(|fault| CtlError::Answer(fault.to_string()))
}

/// An answer as MessagePack.
pub(super) fn packed(answer: &Value) -> Result<Vec<u8>, CtlError> {
    rmp_serde::to_vec(answer).map_err(|fault| CtlError::Answer(fault.to_string()))
}
