//! What tubular refuses of IPv4 because of IPv6 bindings.
//!
//! It looks addresses of both families up in one table, those of IPv4 as `::ffff:a.b.c.d`. So an IPv6 prefix that covers
//! `::ffff:0:0/96`, such as `::/0`, covers all of IPv4, below every IPv4 prefix; and as no socket of IPv6 takes IPv4 there,
//! what it covers is refused. Takes the bindings; gives for which protocols and ports that is so. Not here: how a policy
//! says it.

use std::collections::BTreeSet;

use super::binding::{Binding, Carried, Port};

/// Protocols and ports of `0.0.0.0/0` that are refused, unless a longer prefix of IPv4 has them.
pub(super) fn refused(bindings: &[Binding]) -> Vec<(Carried, Port)> {
    let [tcp, udp] = [Carried::Tcp, Carried::Udp].map(|protocol| ports(bindings, protocol));
    let both = tcp.intersection(&udp).map(|port| (Carried::Both, *port));
    let tcp_alone = tcp.difference(&udp).map(|port| (Carried::Tcp, *port));
    let udp_alone = udp.difference(&tcp).map(|port| (Carried::Udp, *port));
    both.chain(tcp_alone).chain(udp_alone).collect()
}

/// The ports of one protocol. Where the whole of IPv4 is bound itself, nothing comes to the bindings of IPv6.
fn ports(bindings: &[Binding], protocol: Carried) -> BTreeSet<Port> {
    let carries = |one: &&Binding| one.carried == Carried::Both || one.carried == protocol;
    let of = |wanted: fn(&Binding) -> bool| -> BTreeSet<Port> {
        let found = bindings.iter().filter(carries).filter(|one| wanted(one));
        found.map(|one| one.port).collect()
    };
    let (covering, own) = (of(Binding::covers_ipv4), of(Binding::is_ipv4));
    if own.contains(&Port::Every) {
        return BTreeSet::new();
    }
    covering.difference(&own).copied().collect()
}
