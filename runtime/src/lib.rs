//! Loads, attaches, replaces and reads what the compiler made.
//!
//! Takes the bytes of an object and its manifest, and [`Options`]; gives what was done or found, or an [`Error`] that says
//! what the machine refused and what to do. It does not parse policies and prints nothing.
//!
//! ```text
//! apply ─ session (rights, namespace) ─ lock ─ settle ─ load ─ fill ─ attach ─ record ─ switch ─ settle
//! ```
//!
//! Everything that is remembered is pinned in the bpf file system; see the layout in `state`.

mod apply;
mod attach;
mod blocks;
mod bound;
mod carry;
mod checked;
mod chunks;
mod classes;
mod code;
mod concern;
mod connections;
mod coverage;
mod departed;
mod dispatch;
mod drift;
mod elsewhere;
mod entries;
mod entry_maps;
mod error;
mod escaped;
mod fill;
mod filter;
mod force;
mod forecast;
mod foreign;
mod groups;
mod heal;
mod holder;
mod home;
mod hook;
mod interfaces;
mod kernel_types;
mod known;
pub mod lab;
mod listen;
mod live_maps;
mod load;
mod local;
mod log;
mod members;
mod mend;
mod moved_groups;
mod named;
mod nameless;
mod nsid;
mod options;
mod owned;
mod owner;
mod pins;
mod plan;
mod port_classes;
mod prefix;
mod probe;
mod record;
mod refill;
mod registered;
mod seen;
mod session;
mod set_change;
mod set_maps;
mod sets;
mod settle;
mod state;
mod status;
mod steps;
mod supply;
mod sys;
mod truth;
mod unload;
mod verified;
mod work;

pub use apply::{Applied, InterfaceHook, OtherHook, apply};
pub use coverage::{Coverage, Moved, MovedTo};
pub use drift::Drift;
pub use entries::text as entry_text;
pub use error::Error;
pub use fill::{Fill, SlotState, Who};
pub use forecast::{
    Carried, CounterForecast, DataForecast, Forecast, HookForecast, LinkFate, ProgramFate, Running,
    Standpoint, forecast,
};
pub use foreign::Foreign;
pub use hook::Means;
pub use known::{Living, Lost, LostNamespace};
pub use live_maps::{
    LiveMap, MapSummary, Removed, map_add, map_del, map_list, map_load, map_names,
};
pub use local::not_local;
pub use log::LogReader;
pub use moved_groups::MovedGroup;
pub use named::{NamedKind, NamedLoss};
pub use options::{Options, Watch};
pub use prefix::Prefix;
pub use probe::{Features, probe};
pub use registered::{
    Handover, Refreshed, SlotKind, socket_list, socket_refresh, socket_register, socket_unregister,
};
pub use sets::{
    Element, Expiry, LiveSet, Missing, SetSummary, set_add, set_del, set_list, set_load, set_names,
    set_test,
};
pub use status::{
    CounterValue, HookStatus, InForce, Inspected, Status, counters, inspect, object, running,
    status,
};
pub use unload::unload;
