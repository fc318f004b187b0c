//! Loads, attaches, replaces and reads what the compiler made.
//!
//! Takes the bytes of an object and its manifest, and [`Options`]; gives what was done or found, or an [`Error`] that says
//! what the machine refused and what to do. It does not parse policies and prints nothing.
//!
//! ```text
//! apply ─ session (rights, namespace) ─ lock ─ reconcile ─ load ─ fill ─ attach ─ record ─ switch ─ reconcile
//! ```
//!
//! ```no_run
//! use sockc_compiler::object::read_manifest;
//! use sockc_runtime::{Options, apply, status, unload};
//!
//! let options = Options::default();
//! let object = std::fs::read("web.o")?;
//! apply(&object, &read_manifest(&object)?, &options)?;
//! assert!(status(&options)?.is_some());
//! unload(&options)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything that is remembered is pinned in the bpf file system; see the layout in `state`. A room uses only those that
//! stand before it here: `sys`, `hook`, `error`, `code`, `probe`, `sealed`, `state`, `load`, `pairs`, `delivery`, `attach`, `groups`, `session`, `names`,
//! `elsewhere`, `reconcile`, `blocks`, `confirm`, `active`, `callers`, `keeper`, `live`, `sockets`, `status`, `history`, `boot`, `watch`, `apply`;
//! `health` uses `sys` and `probe` alone.

mod active;
mod apply;
mod attach;
mod blocks;
mod boot;
mod callers;
mod code;
mod confirm;
mod delivery;
mod drops;
mod elsewhere;
mod error;
mod groups;
mod health;
mod history;
mod hook;
mod keeper;
pub mod lab;
mod live;
mod load;
mod log;
mod names;
mod options;
mod pairs;
mod prefix;
mod probe;
mod reconcile;
mod sealed;
mod session;
mod sockets;
mod state;
mod status;
mod sys;
mod unload;
mod watch;

pub use apply::forecast::{
    Carried, CounterForecast, DataForecast, Forecast, HookForecast, LinkFate, ProgramFate, Running,
    forecast, forecast_object,
};
pub use apply::{Applied, InterfaceHook, OtherHook, apply, apply_object};
pub use attach::foreign::{Effect, Foreign, of_namespaces};
pub use blocks::departing::{Departing, HeldOn};
pub use boot::on_disk;
pub use callers::{DoorPlate, ListenerAt};
pub use confirm::{Settled, Waiting, confirm, rollback};
pub use delivery::{CUTS, Deliveries, Delivery, ENDS, Maker, taken_back};
pub use drops::{DropReader, Sampled};
pub use elsewhere::{OtherNamespace, is_blind, others, others_near, unseen};
pub use error::{Error, Exposed, Taken};
pub use groups::moved::MovedGroup;
pub use groups::places::{GroupStatus, Table};
pub use groups::{OWN_GROUPS, REACH_OUT, reach_out};
pub use health::{CardHealth, Chain, Health, health, legacy_tables, listed_by_nft};
pub use history::{
    Generation, History, Kept as KeptGeneration, Unreadable, before, comes_back, history, kept,
};
pub use hook::Means;
pub use keeper::{Kept, keep_pairs};
pub use live::Missing;
pub use live::entries::text as entry_text;
pub use live::maps::{
    LiveMap, MapSummary, Removed, map_add, map_del, map_list, map_load, map_names, map_put,
};
pub use live::own::{OwnBehind, own_addresses, own_refresh};
pub use live::sets::{
    Added, Element, Expiry, LiveSet, SetSummary, set_add, set_del, set_list, set_load, set_names,
    set_test,
};
pub use load::checked::Object;
pub use log::{LocalTime, LogReader, LogWatch, Which, log_clock};
pub use names::cards::{Card, cards};
pub use names::classes::InTwoZones;
pub use names::coverage::{Coverage, Moved, MovedTo};
pub use names::loss::{NamedKind, NamedLoss};
pub use names::passing::{PassedBy, bridged, passed_by};
pub use options::{After, Confirm, Connection, Options, Standpoint, Streams, Watch};
pub use prefix::Prefix;
pub use probe::kept::{Remembered, keep_features, known_features};
pub use probe::streams::{Fault, Faults, Way};
pub use probe::{Features, probe};
pub use sealed::{seal, unseal};
pub use sockets::desk::{Caller, DeskCount, DeskEvent, socket_listen};
pub use sockets::ends::connected::EndKind;
pub use sockets::ends::{EndHeld, EndPhase, EndState};
pub use sockets::handover::Handover;
pub use sockets::local::not_local;
pub use sockets::lookup::{Fill, SlotState, Who};
pub use sockets::reached::{Arrival, Ends, Listener, Reached, answers, reached};
pub use sockets::registered::{
    Held, Refreshed, Registered, SlotKind, socket_destinations, socket_ends, socket_list,
    socket_refresh, socket_register, socket_replace, socket_unregister, socket_withdraw,
};
pub use sockets::since::wall_time;
pub use sockets::started::{Started, Wanted, socket_start};
pub use state::at_start::{AtStart, KeptOnDisk, OnDisk};
pub use state::author::Author;
pub use state::gone::Departed;
pub use state::namespaces::{Holds, Living, Lost, LostNamespace};
pub use state::steered::{Destination, Endings};
pub use status::drift::Drift;
pub use status::{
    BlockStatus, CounterValue, Counts, Footing, HookStatus, InForce, Inspected, PairsStatus,
    RunTime, Status, counters, counts, footing, inspect, object, reset_counters, running, status,
};
pub use sys::caps::missing as missing_rights;
pub use sys::epoll::end_signals;
pub use sys::process::{end_with_caller, take_over};
pub use sys::token::Inside;
pub use unload::{Unloaded, unload};
pub use watch::{Events, Woken, present};
