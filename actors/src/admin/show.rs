//! `vestibule.show(what)`: one array of maps.
//!
//! Something new to show is a row of [`SHOWN`], and a value of [`monitoring`](crate::monitoring).

use serde::Serialize;
use vestibule_wire::Error;
use vestibule_wire::reply::write_value;

use super::args::text_argument;
use super::call::{Answer, ControlCall, RunControl};
use crate::limits::SHOW_ROWS_MAX;
use crate::messages::FanOut;
use crate::monitoring::{DescriptorInfo, LimitInfo, SessionThread, UpstreamInfo};

/// What can be shown. The usage lists them in this order.
const SHOWN: [(&str, RunControl); 11] = [
    ("connections", |_, _| {
        Ok(Answer::FanOut(FanOut::Connections(SHOW_ROWS_MAX)))
    }),
    ("requests", |_, _| {
        Ok(Answer::FanOut(FanOut::Requests(SHOW_ROWS_MAX)))
    }),
    ("reservations", |call, body| {
        let rows = call.shared.reservations.rows(call.now);
        write(&rows, body)
    }),
    ("transitions", |call, body| {
        write(&call.shared.transitions.rows(), body)
    }),
    ("quotas", |call, body| {
        let rows = call.shared.quotas.rows();
        write(&rows, body)
    }),
    ("limits", |call, body| {
        write(&LimitInfo::all(call.shared), body)
    }),
    ("descriptors", |call, body| {
        write(&DescriptorInfo::all(call.shared), body)
    }),
    ("threads", |call, body| {
        write(&SessionThread::all(call.shared), body)
    }),
    ("upstreams", |call, body| {
        write(&UpstreamInfo::all(call.shared, call.now), body)
    }),
    ("links", |_, _| {
        Ok(Answer::FanOut(FanOut::Links(SHOW_ROWS_MAX)))
    }),
    ("pins", |_, _| {
        Ok(Answer::FanOut(FanOut::Pins(SHOW_ROWS_MAX)))
    }),
];

/// `vestibule.show(what)`.
pub(super) fn show(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    let what = text_argument(call.procedure.name, call.args)?;
    match SHOWN.iter().find(|(name, _)| Some(*name) == what) {
        Some((_, run)) => run(call, body),
        None => Err(usage(call.procedure.name)),
    }
}

fn usage(procedure: &str) -> Error {
    let names = SHOWN.map(|(name, _)| format!("'{name}'")).join("|");
    Error::illegal_params(format!("Usage: {procedure}({names})"))
}

fn write(rows: &impl Serialize, body: &mut Vec<u8>) -> Result<Answer, Error> {
    write_value(body, rows)?;
    Ok(Answer::Written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_lists_what_can_be_shown() {
        let expected = "Usage: vestibule.show('connections'|'requests'|'reservations'|\
                        'transitions'|'quotas'|'limits'|'descriptors'|'threads'|\
                        'upstreams'|'links'|'pins')";
        assert_eq!(usage("vestibule.show").message(), expected);
    }
}
