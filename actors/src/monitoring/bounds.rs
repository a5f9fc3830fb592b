//! Bounds, and how much of them is used: `vestibule.show('limits')` and `('descriptors')`.

use serde::Serialize;

use crate::limits;
use crate::shared::Shared;
use crate::upstream::GatewayCell;

/// A bound, as `vestibule.show('limits')` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitInfo {
    /// The bound's name, with the unit at the end if it has one.
    pub name: String,
    /// The bound's value.
    pub value: u64,
    /// How much of it is in use now; `None` where that is not counted in one place.
    pub used: Option<u64>,
}

impl LimitInfo {
    /// The bounds that matter to operators: configured, fixed, and those of which it is known how
    /// much is in use.
    pub(crate) fn all(shared: &Shared) -> Vec<Self> {
        let settings = shared.settings.load();
        let grace = shared.resolve_grace(settings.shutdown_grace_period);
        let fixed = shared.config.shown_limits();
        let settable = settings.shown_limits(grace);
        let of_gateway = shared.gateway.as_deref().map(gateway_limits);
        let of_gateway = of_gateway.unwrap_or_default();
        let bounds = fixed.iter().chain(&settable).chain(limits::SHOWN);
        let bounds = bounds.chain(&of_gateway);
        let bounds = bounds.map(|&(name, value)| (name, value, None));
        let counted = counted_limits(shared)
            .into_iter()
            .map(|(name, value, used)| (name, value, Some(used)));
        let bounds = bounds.chain(counted);
        let bounds = bounds.map(|(name, value, used)| (name.to_owned(), value, used));
        bounds
            .chain(shared.quotas.limits())
            .map(|(name, value, used)| Self { name, value, used })
            .collect()
    }
}

/// The bounds of a gateway: configured, and fixed.
fn gateway_limits(gateway: &GatewayCell) -> Vec<(&'static str, u64)> {
    let config = &gateway.config;
    let configured = [
        ("failover_hold_ms", config.failover_hold),
        ("silent_after_ms", config.silent_after),
        ("silent_abandon_ms", config.silent_abandon),
        ("probe_interval_ms", config.probe_interval),
        ("connect_timeout_ms", config.connect_timeout),
    ];
    let configured = configured.map(|(name, time)| (name, time.as_millis() as u64));
    let bounds = config.request_bounds();
    let of_requests = [
        ("upstream_requests_max", bounds.requests),
        ("upstream_calls_max", bounds.calls),
        (
            "upstream_calls_connections_reserve",
            bounds.reserve_of_connections(),
        ),
        ("upstream_calls_users_reserve", bounds.reserve_of_users()),
    ];
    let of_requests = of_requests.map(|(name, count)| (name, count as u64));
    configured
        .into_iter()
        .chain(of_requests)
        .chain(limits::UPSTREAM_SHOWN.iter().copied())
        .collect()
}

/// Bounds by name and value, with what is in use now.
fn counted_limits(shared: &Shared) -> Vec<(&'static str, u64, u64)> {
    let (slots, memory) = (&shared.slots, &shared.memory);
    let of_one = slots.of_one_address();
    let data = shared.data_memory();
    let data = data.map(|own| ("memory_max_bytes", own.max() as u64, own.used() as u64));
    let counted = [
        (
            "connections_max",
            slots.budget().clients as u64,
            slots.taken().clients as u64,
        ),
        (
            "connections_per_address_max",
            of_one.0 as u64,
            of_one.1 as u64,
        ),
        (
            "connections_memory_max_bytes",
            memory.max() as u64,
            memory.used() as u64,
        ),
    ];
    counted.into_iter().chain(data).collect()
}

/// A share of the process's descriptors, as `vestibule.show('descriptors')` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DescriptorInfo {
    /// Whose it is.
    pub share: DescriptorShare,
    /// How many there are; `None` if that is not known.
    pub max: Option<u64>,
    /// How many are taken; `None` if that is not counted.
    pub taken: Option<u64>,
    /// Connections that found no slot since the start.
    pub turned_away: Option<u64>,
}

/// Who has descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DescriptorShare {
    /// The whole, of which the others are parts.
    Process,
    /// What the runtime itself needs.
    Runtime,
    /// What is kept for the engine.
    Engine,
    /// What is kept for what else there is in the process.
    Reserved,
    /// Connections of administrators.
    Administrators,
    /// What connections are told by that find no slot.
    Spare,
    /// Connections of clients.
    Clients,
}

impl DescriptorShare {
    /// As it is serialized.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Runtime => "runtime",
            Self::Engine => "engine",
            Self::Reserved => "reserved",
            Self::Administrators => "administrators",
            Self::Spare => "spare",
            Self::Clients => "clients",
        }
    }
}

impl DescriptorInfo {
    /// Who may have how many, and how many connections there are.
    pub(crate) fn all(shared: &Shared) -> Vec<Self> {
        let slots = &shared.slots;
        let (budget, taken) = (slots.budget(), slots.taken());
        let row = |share, max: Option<usize>, taken: Option<usize>| Self {
            share,
            max: max.map(|max| max as u64),
            taken: taken.map(|taken| taken as u64),
            turned_away: None,
        };
        vec![
            row(DescriptorShare::Process, budget.limit, None),
            row(DescriptorShare::Runtime, Some(budget.runtime), None),
            row(DescriptorShare::Engine, Some(budget.engine), None),
            row(DescriptorShare::Reserved, Some(budget.reserved), None),
            row(
                DescriptorShare::Administrators,
                Some(budget.administrators),
                Some(taken.administrators),
            ),
            Self {
                turned_away: Some(slots.rejected()),
                ..row(DescriptorShare::Spare, Some(budget.spare), None)
            },
            row(
                DescriptorShare::Clients,
                Some(budget.clients),
                Some(taken.clients),
            ),
        ]
    }
}
