//! What a hook can do: one table of data.

/// A place in the kernel where a program of ours runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// XDP, packets that arrive.
    Xdp,
    /// TC ingress, packets that arrive.
    TcIn,
    /// TC egress, packets that leave.
    TcOut,
    /// The socket lookup of new TCP connections and of datagrams for unconnected UDP sockets.
    SkLookup,
    /// Data written to a TCP socket that is in a SOCKMAP.
    SkMsg,
}
