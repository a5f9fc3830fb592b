//! The result of bulk transfers, for people and for scripts.

use std::time::Duration;

use crate::args::{BenchArgs, Beside, Direction, Switch};
use crate::json::Object;
use crate::meter::Figures;
use crate::report::lines;

/// What was measured beside the transfers.
pub(super) struct Besides {
    pub(super) what: Beside,
    pub(super) every: Duration,
    pub(super) figures: Figures,
}

/// A finished run: what was asked for and what came out.
pub(crate) struct BulkOutcome {
    pub(super) args: BenchArgs,
    pub(super) server: String,
    pub(super) target: String,
    pub(super) size: u32,
    pub(super) direction: Direction,
    pub(super) groups: u32,
    /// Whether large messages were cut.
    pub(super) has_chunks: bool,
    pub(super) elapsed: Duration,
    /// Bytes of values that the server has sent.
    pub(super) down_bytes: u64,
    /// Bytes of values that were sent to it.
    pub(super) up_bytes: u64,
    pub(super) transfers: Figures,
    pub(super) beside: Option<Besides>,
    /// The time that the server's threads were on a processor, if its process is known.
    pub(super) server_cpu: Option<Duration>,
    /// The same of the generator.
    pub(super) own_cpu: Option<Duration>,
    /// The age of the oldest request without an answer at the end.
    pub(super) oldest_in_flight: Duration,
}

impl BulkOutcome {
    fn per_second(&self, bytes: u64) -> f64 {
        bytes as f64 / self.elapsed.as_secs_f64()
    }

    fn bytes(&self) -> u64 {
        self.down_bytes + self.up_bytes
    }

    /// Processor time of the server for a million bytes, in microseconds.
    fn server_us_per_mb(&self) -> Option<f64> {
        let megabytes = self.bytes() as f64 / 1e6;
        let time = self.server_cpu?;
        (megabytes > 0.0).then(|| time.as_secs_f64() * 1e6 / megabytes)
    }

    fn generator_cpu(&self) -> Option<f64> {
        let time = self.own_cpu?;
        Some(time.as_secs_f64() / self.elapsed.as_secs_f64())
    }

    /// Some lines of text.
    pub(crate) fn text(&self) -> String {
        let how = match (self.has_chunks, self.args.chunks) {
            (true, _) => "in chunks",
            (false, Some(Switch::Off)) => "whole",
            (false, _) => "whole, the server has no chunks",
        };
        let mut out = format!(
            "bulk on {} at {}: {} x {} groups x {} in flight, {}, {} bytes each, {how}, {:.1} s \
             after {:.1} s of warm-up\n",
            self.server,
            self.target,
            self.args.connections,
            self.groups,
            self.args.depth,
            self.direction.name(),
            self.size,
            self.elapsed.as_secs_f64(),
            self.args.warmup_seconds.as_secs_f64(),
        );
        out += &format!(
            "moved      {:.1} MB/s ({:.1} down, {:.1} up)\n",
            self.per_second(self.bytes()) / 1e6,
            self.per_second(self.down_bytes) / 1e6,
            self.per_second(self.up_bytes) / 1e6,
        );
        let transfers = &self.transfers;
        out += &format!(
            "rate       {:.1} values/s ({} moved)\n",
            transfers.rate, transfers.answered
        );
        out += &lines(transfers);
        if let Some(beside) = &self.beside {
            out += &format!(
                "beside     {} every {:?}: {:.0} requests/s ({} answered)\n",
                beside.what.name(),
                beside.every,
                beside.figures.rate,
                beside.figures.answered
            );
            out += &lines(&beside.figures);
        }
        out += &format!(
            "unanswered the oldest for {:.1} µs\n",
            self.oldest_in_flight.as_secs_f64() * 1e6
        );
        if let Some(time) = self.server_us_per_mb() {
            out += &format!("server     {time:.0} µs of processor time for each MB\n");
        }
        if let Some(share) = self.generator_cpu() {
            out += &format!("generator  {:.0} % of one core\n", share * 100.0);
        }
        out
    }

    /// One JSON object on one line.
    pub(crate) fn json(&self) -> String {
        let none = || "null".to_owned();
        let mut out = Object::new();
        out.text("op", self.args.op.name())
            .figures(&self.transfers)
            .number("bytes_per_second", self.per_second(self.bytes()), 0)
            .number("down_bytes_per_second", self.per_second(self.down_bytes), 0)
            .number("up_bytes_per_second", self.per_second(self.up_bytes), 0);
        let beside = self.beside.as_ref().map_or_else(none, |beside| {
            let mut object = Object::new();
            object
                .text("op", beside.what.name())
                .figures(&beside.figures)
                .number("every_seconds", beside.every.as_secs_f64(), 6);
            object.braced()
        });
        out.raw("beside", &beside)
            .count("size", self.size.into())
            .text("direction", self.direction.name())
            .raw("chunks", &self.has_chunks.to_string())
            .text("server", &self.server)
            .text("target", &self.target)
            .count("connections", self.args.connections.into())
            .count("groups", self.groups.into())
            .count("depth", self.args.depth.into())
            .number("seconds", self.elapsed.as_secs_f64(), 3)
            .number("warmup_seconds", self.args.warmup_seconds.as_secs_f64(), 3)
            .number(
                "oldest_in_flight_us",
                self.oldest_in_flight.as_secs_f64() * 1e6,
                1,
            );
        let server = self
            .server_us_per_mb()
            .map_or_else(none, |time| format!("{time:.1}"));
        let own = self
            .generator_cpu()
            .map_or_else(none, |share| format!("{share:.3}"));
        out.raw("server_cpu_us_per_mb", &server)
            .raw("generator_cpu", &own);
        out.line()
    }
}
