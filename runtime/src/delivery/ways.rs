//! The rule and the route that lead what has the mark to the table where everything is local, by route-netlink.
//!
//! What sockc makes bears a number in the field where the kernel keeps which program made a rule or a route. Only that is removed.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;
use nix::net::if_::if_nametoindex;
use sockc_compiler::artifact::InterceptPlan;
use sockc_compiler::policy::{Family, INTERCEPTED};

use super::families;
use super::probe::Probe;
use super::rules::{Maker, Rule, behind, leading};
use crate::sys::route;

/// Who made it: a number that no routing daemon has (`/etc/iproute2/rt_protos`).
pub(super) const MAKER: u8 = 0x5c;

/// The ways of packets with the mark, in the namespace of the thread that opened them.
pub(super) struct Ways {
    socket: Socket,
    mark: u32,
    table: u32,
    samples: Vec<std::net::IpAddr>,
}

impl Ways {
    /// Those that a manifest speaks of.
    pub(super) fn open(plan: &InterceptPlan) -> io::Result<Self> {
        let socket = route::socket()?;
        socket.set_netlink_get_strict_chk(true)?;
        Ok(Self {
            socket,
            mark: plan.mark,
            table: plan.table,
            samples: plan.samples.clone(),
        })
    }

    /// Those that this sockc makes.
    pub(super) fn own() -> io::Result<Self> {
        Self::open(&InterceptPlan {
            mark: INTERCEPTED,
            table: INTERCEPTED,
            ..InterceptPlan::default()
        })
    }

    /// Whether the kernel says that what has the mark is local, of an address in each range that redirects are for.
    fn leads(&self, family: Family, interfaces: &[String]) -> io::Result<bool> {
        let probe = Probe::new(&self.socket, self.mark, interfaces)?;
        let samples = self.samples.iter();
        for address in samples.filter(|address| Family::of(**address) == family) {
            if !probe.is_local(*address)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What is there of a family's way, and what of others is in it.
    pub(super) fn look(&self, family: Family, interfaces: &[String]) -> io::Result<Way> {
        let rules = self.rules(family)?;
        let rules: Vec<Rule> = rules.iter().map(Rule::of).collect();
        let routes = self.routes(family, self.table)?;
        let leads = self.leads(family, interfaces)?;
        let ours = leading(&rules, self.mark).filter(|rule| rule.table == self.table);
        let obstacle = match leads {
            true => self.hole(family, &rules)?,
            false => self.taken(family, &rules, &routes),
        };
        let behind = behind(&rules, self.mark, interfaces);
        let words = behind.as_ref();
        let words = words.map(|behind| behind.words(families::flag(family)));
        let first = behind.and_then(|behind| behind.move_of(self.table));
        let everything = routes.iter().find(|route| is_everything(route));
        Ok(Way {
            leads,
            rule: ours.map(|rule| rule.maker),
            route: everything.map(|route| Maker::of(route.header.protocol)),
            first: first.filter(|_| obstacle.is_none()),
            obstacle: obstacle.or(words),
        })
    }

    /// What some of the packets meet whose mark leads to a table where everything else is local.
    fn hole(&self, family: Family, rules: &[Rule]) -> io::Result<Option<String>> {
        let Some(leading) = leading(rules, self.mark) else {
            return Ok(None);
        };
        let table = leading.table;
        let routes = self.routes(family, table)?;
        Ok(routes
            .iter()
            .any(is_hole)
            .then(|| other_routes(family, table)))
    }

    /// What of others is in the way of a rule and a route: a rule that takes the mark or the table for something else, or
    /// routes in the table.
    fn taken(&self, family: Family, rules: &[Rule], routes: &[RouteMessage]) -> Option<String> {
        let flag = families::flag(family);
        if let Some(rule) = leading(rules, self.mark).filter(|rule| rule.table != self.table) {
            return Some(format!(
                "the rule of routing {} takes the mark {:#x} of redirects `at tc` to another table, {} (`ip {flag} rule`): give what that is for another mark",
                rule.priority, self.mark, rule.table
            ));
        }
        let mut others = rules.iter();
        if let Some(rule) = others.find(|rule| rule.leads_others(self.mark, self.table)) {
            return Some(format!(
                "the rule of routing {} leads other packets to the table {} of redirects `at tc` (`ip {flag} rule`): give it another table",
                rule.priority, self.table
            ));
        }
        let strange = routes.iter().any(is_hole);
        strange.then(|| other_routes(family, self.table))
    }

    /// Makes what is missing: the route, then the rule, so that the mark never leads to an empty table. A rule of ours that
    /// comes too late is made where it comes first, and removed then where it was.
    pub(super) fn make(&self, family: Family, interfaces: &[String]) -> io::Result<()> {
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        let way = self.look(family, interfaces)?;
        if way.route.is_none() {
            let route = RouteNetlinkMessage::NewRoute(self.route(family)?);
            unless_there(route::order(&self.socket, route, flags))?;
        }
        if way.rule.is_none() {
            let rule = RouteNetlinkMessage::NewRule(self.rule(family));
            unless_there(route::order(&self.socket, rule, flags))?;
        }
        if let Some((late, first)) = way.first {
            let made = |priority| {
                let mut rule = self.rule(family);
                rule.attributes.push(RuleAttribute::Priority(priority));
                rule
            };
            let rule = RouteNetlinkMessage::NewRule(made(first));
            unless_there(route::order(&self.socket, rule, flags))?;
            let rule = RouteNetlinkMessage::DelRule(made(late));
            route::order(&self.socket, rule, 0)?;
        }
        Ok(())
    }

    /// Removes the rule, then the route, as far as we made them.
    pub(super) fn remove(&self, family: Family) -> io::Result<()> {
        let ours = |rule: &RuleMessage| Rule::of(rule).is_ours(self.mark, self.table);
        for rule in self.rules(family)?.into_iter().filter(ours) {
            route::order(&self.socket, RouteNetlinkMessage::DelRule(rule), 0)?;
        }
        let lo = RouteAttribute::Oif(if_nametoindex("lo")?);
        let ours = |route: &RouteMessage| {
            let made = route.header.protocol == RouteProtocol::Other(MAKER);
            made && is_everything(route) && route.attributes.contains(&lo)
        };
        for route in self.routes(family, self.table)?.into_iter().filter(ours) {
            route::order(&self.socket, RouteNetlinkMessage::DelRoute(route), 0)?;
        }
        Ok(())
    }

    fn rule(&self, family: Family) -> RuleMessage {
        let mut rule = RuleMessage::default();
        rule.header.family = code(family);
        rule.header.action = RuleAction::ToTable;
        rule.attributes = vec![
            RuleAttribute::FwMark(self.mark),
            RuleAttribute::FwMask(u32::MAX),
            RuleAttribute::Table(self.table),
            RuleAttribute::Protocol(RouteProtocol::Other(MAKER)),
        ];
        rule
    }

    fn route(&self, family: Family) -> io::Result<RouteMessage> {
        let everything = match family {
            Family::V4 => RouteAddress::Inet(Ipv4Addr::UNSPECIFIED),
            Family::V6 => RouteAddress::Inet6(Ipv6Addr::UNSPECIFIED),
        };
        let mut route = RouteMessage::default();
        route.header.address_family = code(family);
        route.header.protocol = RouteProtocol::Other(MAKER);
        route.header.scope = RouteScope::Host;
        route.header.kind = RouteType::Local;
        route.attributes = vec![
            RouteAttribute::Destination(everything),
            RouteAttribute::Oif(if_nametoindex("lo")?),
            RouteAttribute::Table(self.table),
        ];
        Ok(route)
    }

    fn rules(&self, family: Family) -> io::Result<Vec<RuleMessage>> {
        let mut question = RuleMessage::default();
        question.header.family = code(family);
        let found = route::list(&self.socket, RouteNetlinkMessage::GetRule(question))?;
        let found = found.into_iter().filter_map(|one| match one {
            RouteNetlinkMessage::NewRule(rule) => Some(rule),
            _ => None,
        });
        Ok(found.collect())
    }

    /// The routes of a table. A kernel that has no such table yet says so.
    fn routes(&self, family: Family, table: u32) -> io::Result<Vec<RouteMessage>> {
        let mut question = RouteMessage::default();
        question.header.address_family = code(family);
        question.attributes = vec![RouteAttribute::Table(table)];
        let found = match route::list(&self.socket, RouteNetlinkMessage::GetRoute(question)) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(Vec::new()),
            found => found?,
        };
        let found = found.into_iter().filter_map(|one| match one {
            RouteNetlinkMessage::NewRoute(route) if table_of(&route) == table => Some(route),
            _ => None,
        });
        Ok(found.collect())
    }
}

/// What is there of the way of a family.
pub(super) struct Way {
    /// Whether what has the mark is local.
    pub(super) leads: bool,
    /// Who made the rule that leads the mark to its table, if there is one.
    pub(super) rule: Option<Maker>,
    /// Who made the route that makes everything local there.
    pub(super) route: Option<Maker>,
    /// What of others takes some or all of it elsewhere.
    pub(super) obstacle: Option<String>,
    /// If the obstacle is only that a rule which sockc made comes too late: its priority, and the one that it may have.
    pub(super) first: Option<(u32, u32)>,
}

/// Whether a route makes everything local: from whomever it is, and whatever service it asks for.
fn is_everything(route: &RouteMessage) -> bool {
    let header = &route.header;
    let all = header.destination_prefix_length == 0 && header.source_prefix_length == 0;
    header.kind == RouteType::Local && all && header.tos == 0
}

/// Whether a route makes something else than local of what it takes.
fn is_hole(route: &RouteMessage) -> bool {
    route.header.kind != RouteType::Local
}

fn other_routes(family: Family, table: u32) -> String {
    format!(
        "the table {table} of redirects `at tc` has other routes (`ip {} route show table {table}`): move them to another table",
        families::flag(family)
    )
}

fn table_of(route: &RouteMessage) -> u32 {
    let mut attributes = route.attributes.iter();
    let table = attributes.find_map(|one| match one {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    table.unwrap_or(route.header.table.into())
}

fn unless_there(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

pub(super) fn code(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}
