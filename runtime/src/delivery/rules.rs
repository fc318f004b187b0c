//! Rules of routing: which of them leads what has the mark, and which of others stand in its way.
//!
//! Takes what route-netlink lists, in the order in which the kernel asks; gives what is said of it. Not here: how it is asked.

use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};

use super::ways::MAKER;

/// The table of addresses of the machine: what is not in it goes on to the next rule.
const LOCAL: u32 = 255;

/// Who made a rule or a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// sockc.
    Sockc,
    /// Anybody else.
    Others,
}

impl Maker {
    pub(super) fn of(protocol: RouteProtocol) -> Self {
        match protocol == RouteProtocol::Other(MAKER) {
            true => Self::Sockc,
            false => Self::Others,
        }
    }
}

/// What is looked at of a rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) priority: u32,
    mark: u32,
    mask: u32,
    pub(super) table: u32,
    pub(super) maker: Maker,
    action: RuleAction,
    inverted: bool,
    /// The interface by which packets have to come.
    from: Option<String>,
    /// Whether it is about packets that arrive on interfaces which are in no VRF.
    arriving: bool,
    /// Whether it asks for anything besides the mark.
    narrow: bool,
}

impl Rule {
    pub(super) fn of(message: &RuleMessage) -> Self {
        let header = &message.header;
        let mut found = Self {
            priority: 0,
            mark: 0,
            mask: 0,
            table: header.table.into(),
            maker: Maker::Others,
            action: header.action,
            inverted: header.flags.contains(RuleFlags::Invert),
            from: None,
            arriving: true,
            narrow: header.dst_len != 0 || header.src_len != 0 || header.tos != 0,
        };
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Priority(priority) => found.priority = *priority,
                RuleAttribute::FwMark(mark) => found.mark = *mark,
                RuleAttribute::FwMask(mask) => found.mask = *mask,
                RuleAttribute::Table(table) => found.table = *table,
                RuleAttribute::Protocol(protocol) => found.maker = Maker::of(*protocol),
                RuleAttribute::Iifname(name) => found.from = Some(name.clone()),
                RuleAttribute::Oifname(_) | RuleAttribute::L3MDev(true) => found.arriving = false,
                RuleAttribute::IpProtocol(_)
                | RuleAttribute::SourcePortRange(_)
                | RuleAttribute::DestinationPortRange(_)
                | RuleAttribute::UidRange(_)
                | RuleAttribute::TunId(_) => found.narrow = true,
                // That a route is too wide says that some of what a rule takes is left to the next one.
                RuleAttribute::SuppressPrefixLen(length) if *length != u32::MAX => {
                    found.narrow = true;
                }
                RuleAttribute::SuppressIfGroup(group) if *group != u32::MAX => found.narrow = true,
                _ => {}
            }
        }
        found.narrow |= found.from.is_some() || !found.arriving;
        found
    }

    /// Whether it is for a mark, and for this one.
    pub(super) fn names(&self, mark: u32) -> bool {
        self.mask != 0 && self.is_for(mark)
    }

    fn is_for(&self, mark: u32) -> bool {
        mark & self.mask == self.mark & self.mask
    }

    /// Whether it takes all that has the mark to a table.
    pub(super) fn leads(&self, mark: u32) -> bool {
        self.action == RuleAction::ToTable && !self.inverted && !self.narrow && self.names(mark)
    }

    /// Whether it is for other packets, and leads them to a table.
    pub(super) fn leads_others(&self, mark: u32, table: u32) -> bool {
        let to_it = self.action == RuleAction::ToTable && self.table == table;
        to_it && (self.inverted || !self.names(mark))
    }

    /// Whether it decides about some of what arrives on interfaces with the mark.
    fn takes_some(&self, mark: u32, interfaces: &[String]) -> bool {
        let decides = match self.action {
            RuleAction::Nop | RuleAction::Unspec => false,
            // One may go past that of the mark.
            RuleAction::Goto => true,
            _ => self.table != LOCAL,
        };
        let from = self.from.as_ref();
        let here = from.is_none_or(|from| interfaces.contains(from));
        decides && self.arriving && (self.inverted || here && self.is_for(mark))
    }
}

/// Of rules in order, the one that leads the mark to its table.
pub(super) fn leading(rules: &[Rule], mark: u32) -> Option<&Rule> {
    rules.iter().find(|rule| rule.leads(mark))
}

/// What is said of a rule that comes ahead of the one that leads the mark, and takes some of it elsewhere; `flag` is the option
/// of `ip` for their family.
pub(super) fn ahead(
    rules: &[Rule],
    mark: u32,
    (interfaces, flag): (&[String], &str),
) -> Option<String> {
    let place = rules.iter().position(|rule| rule.leads(mark))?;
    let leading = rules.get(place)?;
    let mut first = rules.iter().take(place);
    let other = first.find(|rule| rule.takes_some(mark, interfaces))?;
    let (own, table) = (leading.priority, leading.table);
    Some(format!(
        "the rule of routing {} comes ahead of {own}, which leads the mark {mark:#x} of redirects `at tc` to the table {table}, and may take some of it elsewhere (`ip {flag} rule`): `ip {flag} rule del pref {own}` and `ip {flag} rule add fwmark {mark:#x} lookup {table}` put that of the mark first again",
        other.priority
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: u32 = 0x20c5;

    fn rule(priority: u32, table: u32, attributes: &[RuleAttribute]) -> Rule {
        let mut message = RuleMessage::default();
        message.header.action = RuleAction::ToTable;
        message.attributes = attributes.to_vec();
        message.attributes.push(RuleAttribute::Priority(priority));
        message.attributes.push(RuleAttribute::Table(table));
        Rule::of(&message)
    }

    fn marked(priority: u32) -> Rule {
        let mark = [RuleAttribute::FwMark(MARK), RuleAttribute::FwMask(u32::MAX)];
        rule(priority, 8389, &mark)
    }

    /// Whether a rule is told that stands ahead of that of the mark.
    fn told(first: Rule) -> bool {
        let rules = [rule(0, LOCAL, &[]), first, marked(200)];
        let interfaces = ["lan0".to_owned()];
        ahead(&rules, MARK, (&interfaces, "-4")).is_some()
    }

    #[test]
    fn what_comes_ahead_is_told_if_it_may_take_some() {
        let named = |name: &str| RuleAttribute::Iifname(name.to_owned());
        let mark = |mark| [RuleAttribute::FwMark(mark), RuleAttribute::FwMask(u32::MAX)];
        assert!(told(rule(100, 77, &[])));
        assert!(told(rule(100, 77, &[named("lan0")])));
        assert!(told(rule(
            100,
            77,
            &[mark(MARK).as_slice(), &[named("lan0")]].concat()
        )));
        let mut narrow = RuleMessage::default();
        narrow.header.action = RuleAction::Blackhole;
        narrow.header.dst_len = 16;
        assert!(told(Rule::of(&narrow)));
        assert!(!told(rule(100, 77, &[named("wan0")])));
        assert!(!told(rule(100, 77, &mark(7))));
        assert!(!told(rule(100, 0, &[RuleAttribute::L3MDev(true)])));
        let mut other = RuleMessage::default();
        other.header.action = RuleAction::ToTable;
        other.header.flags = RuleFlags::Invert;
        other.attributes = mark(7).to_vec();
        assert!(told(Rule::of(&other)));
    }

    #[test]
    fn the_rule_of_the_mark_asks_for_nothing_else() {
        let partly = [
            RuleAttribute::FwMark(MARK),
            RuleAttribute::FwMask(u32::MAX),
            RuleAttribute::Iifname("lan0".to_owned()),
        ];
        let rules = [rule(1, 8389, &partly), rule(2, 254, &[])];
        assert!(leading(&rules, MARK).is_none());
        assert_eq!(leading(&[marked(5)], MARK).map(|one| one.priority), Some(5));
    }
}
