//! Upstreams: the Tarantool instances that a gateway stands before. What is known of them, what
//! they owe, and to which one requests go; without a socket, and with `now` passed in.
//!
//! ```text
//!   links (on each worker) ─▶ link ─▶ handshake, waiting, queues, streams, credits,
//!                                          clients, owed, outbox, incoming
//!   scouts (System arbiter) ─▶ scout ─▶ choose ─▶ gateway: target, users, schema ◀─ all threads
//! ```
//!
//! | file | what |
//! |---|---|
//! | `address` | where they are: names, and addresses as text |
//! | `config` | what an embedder says of them |
//! | `gateway` | what all threads share: where requests go, users, versions |
//! | `catalog` | what they have answered to questions for the catalog |
//! | `session_request` | requests that change what an upstream keeps by session |
//! | `session_settings` | what a client has set there, so that it can be set again |
//! | `statements` | statements that clients have prepared, by their texts |
//! | `preparing` | texts of PREPAREs that are on their way |
//! | `sql_request` | what requests do with those |
//! | `sight` | what is seen of them, on any thread |
//! | `replicas` | which of them may answer SELECTs beside it, and as of when |
//! | `reads` | which SELECTs replicas answer |
//! | `schema` | the version of the catalog that clients are told |
//! | `watched` | the keys of events that clients watch |
//! | `user_source` | by what clients are known |
//! | `lookups` | questions for users that are on their way, and when the next may be asked |
//! | `users` | hashes of passwords, and the keys that logins have proven |
//! | `scout` | what is known of one of them |
//! | `choose` | to which of them requests go |
//! | `failover` | how long they are held while upstreams change places |
//! | `pace` | how often they are asked how they are, and how soon they are tried again |
//! | `again` | what may be sent twice |
//! | `sweeping` | when a map is looked through for what is over |
//! | `tries` | for how long a request is given to links that end |
//! | `bulk` | who goes over a second link, so that others do not wait behind what is large |
//! | `link` | one connection of a worker, for one user |
//! | `leaving` | what may be open in one, and how it is ended that a client leaves open |
//! | `link_requests` | prepared statements over one, as its requests name them |
//! | `moving` | what becomes of a connection's requests when it goes to another one |
//! | `followers` | what waits until another connection has written |
//! | `handshake` | how a connection begins |
//! | `waiting` | requests that are not sent yet |
//! | `unsent_steps` | what is open when they are sent |
//! | `kept` | requests with their bodies |
//! | `line` | those that wait in the order in which they came |
//! | `queues` | those that wait for something that others need not wait for |
//! | `parked` | requests that have no link to wait in |
//! | `credits` | how much one of them may have to do at a time |
//! | `clients` | what the clients of a worker cost |
//! | `streams` | the streams of clients, with their numbers upstream |
//! | `owed` | requests that are sent and not answered |
//! | `outbox` | bytes for the socket |
//! | `incoming` | bytes of the socket, cut into frames |

mod address;
mod again;
mod bulk;
mod catalog;
mod choose;
mod clients;
mod config;
mod credits;
mod failover;
mod followers;
mod gateway;
mod handshake;
mod incoming;
mod kept;
mod leaving;
mod line;
mod link;
mod link_requests;
mod lookups;
mod moving;
mod outbox;
mod owed;
mod pace;
mod parked;
mod preparing;
mod queues;
mod reads;
mod replicas;
mod schema;
mod scout;
mod session_request;
mod session_settings;
mod sight;
mod sql_request;
mod statements;
mod streams;
mod sweeping;
mod tries;
mod unsent_steps;
mod user_source;
mod users;
mod waiting;
mod watched;

pub use address::{Upstream, UpstreamAddress, UpstreamTextError};
pub(crate) use again::Repeat;
#[cfg(test)]
pub(crate) use bulk::BulkRule;
pub(crate) use bulk::BulkUse;
pub(crate) use catalog::{CatalogQuestion, is_of_catalog};
pub(crate) use choose::count_writable;
pub(crate) use clients::Clients;
pub use config::{GatewayAccount, LinkMode, OnLost, ReadFrom, Upstreams, UpstreamsError};
#[cfg(test)]
pub(crate) use credits::RequestBounds;
pub(crate) use credits::{Credits, Kind, UserCredits};
pub(crate) use failover::{Decision, Failover};
pub(crate) use followers::LinkFollowers;
pub(crate) use gateway::{Destination, GatewayCell, HAS_ID_SINCE, ScoutQuestion};
pub(crate) use handshake::{Handshake, LinkUser, Refusal};
pub(crate) use kept::{ForwardBody, KeptRequest};
pub(crate) use leaving::StreamsLeft;
pub(crate) use link::{EndedLink, LinkFault, Pumped, ReadRole, RefusedRequest, Sink, UpstreamLink};
pub(crate) use lookups::{Lookup, UserQuestion};
pub(crate) use owed::OwedRequest;
pub(crate) use pace::ProbePace;
pub(crate) use parked::{LinkClient, Parked, ParkedRequest};
pub(crate) use reads::{ReadPlace, ReadSet, ReplicaRead};
pub(crate) use replicas::{CatalogDigest, InstanceIdentity, ReplicaVerdict, Replicas};
pub(crate) use schema::Incarnation;
pub(crate) use scout::{Condition, ElectionTerm, Scout, UpstreamDrain};
pub(crate) use session_request::SessionRequest;
pub(crate) use session_settings::{SessionSettings, SettingRequest};
pub(crate) use sight::{HeldCounters, LinkCounters, ScoutReport, UpstreamSight};
pub(crate) use sql_request::{StatementStep, with_text};
pub(crate) use statements::ClientStatements;
pub(crate) use streams::{ClientStream, LostStream, StreamStep, StreamsKept};
pub(crate) use tries::{Returned, Tries};
pub use user_source::{ListedUsers, UpstreamUsers, UserListError};
pub(crate) use users::{Judgment, LoginAttempt};
pub(crate) use waiting::Forward;
pub(crate) use watched::{WatchedKey, WatchedKeys};
