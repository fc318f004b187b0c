//! The slots of named sockets: filled by whom, with what, and how they stand.
//!
//! Takes the sockets that a policy declares; puts those that it finds, or is handed ([`handover`], [`desk`], [`started`]), into the map `sockets`, from the outside or
//! by programs of its own that the kernel runs as services begin to listen ([`listen`]) and as packets come ([`refill`]).
//! A socket of anybody but the declared owner is never taken. Connected
//! ones, whose queues take data, stand in a map of their own ([`ends`]). Not here: who steers packets to slots, which is the compiler's.

mod carry;
pub(crate) mod desk;
pub(crate) mod ends;
pub(crate) mod fill;
pub(crate) mod handover;
pub(crate) mod inspect;
pub(crate) mod listen;
pub(crate) mod local;
pub(crate) mod lookup;
mod of_process;
mod open;
pub(crate) mod owners;
pub(crate) mod places;
pub(crate) mod reached;
pub(crate) mod refill;
pub(crate) mod registered;
pub(crate) mod since;
pub(crate) mod started;
pub(crate) mod transparent;
