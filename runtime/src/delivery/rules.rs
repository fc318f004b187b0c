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
                | RuleAttribute::TunId(_)
                | RuleAttribute::Other(_) => found.narrow = true,
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

    /// Whether it is in all what sockc makes: the number of the maker alone may be anybody's.
    pub(super) fn is_ours(&self, mark: u32, table: u32) -> bool {
        let whole = self.mask == u32::MAX && self.table == table;
        whole && self.leads(mark) && self.maker == Maker::Sockc
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

/// A rule that comes ahead of the one that leads the mark, and takes some of it elsewhere.
pub(super) struct Behind<'a> {
    other: &'a Rule,
    leading: &'a Rule,
    mark: u32,
}

/// The first such rule, of what arrives on these interfaces.
pub(super) fn behind<'a>(
    rules: &'a [Rule],
    mark: u32,
    interfaces: &[String],
) -> Option<Behind<'a>> {
    let place = rules.iter().position(|rule| rule.leads(mark))?;
    let leading = rules.get(place)?;
    let mut first = rules.iter().take(place);
    let other = first.find(|rule| rule.takes_some(mark, interfaces))?;
    Some(Behind {
        other,
        leading,
        mark,
    })
}

impl Behind<'_> {
    /// The priority of the rule of the mark, and one by which it would come first; `None` if it is not in all what sockc makes
    /// for this table, or nothing may come ahead of the other.
    pub(super) fn move_of(&self, table: u32) -> Option<(u32, u32)> {
        let ours = self.leading.is_ours(self.mark, table);
        let free = self.other.priority.checked_sub(1)?;
        ours.then_some((self.leading.priority, free))
    }

    /// What is said of it; `flag` is the option of `ip` for their family.
    pub(super) fn words(&self, flag: &str) -> String {
        let (mark, own, table) = (self.mark, self.leading.priority, self.leading.table);
        let other = self.other.priority;
        let said = format!(
            "the rule of routing {other} comes ahead of {own}, which leads the mark {mark:#x} of redirects `at tc` to the table {table}, and may take some of it elsewhere (`ip {flag} rule`): "
        );
        let maker = match self.leading.maker {
            Maker::Sockc => format!(" proto {MAKER}"),
            Maker::Others => String::new(),
        };
        let remedy = match other.checked_sub(1) {
            Some(free) => format!(
                "`ip {flag} rule add pref {free} fwmark {mark:#x} lookup {table}{maker}` and then `ip {flag} rule del pref {own} fwmark {mark:#x}` put that of the mark first"
            ),
            None => "give that one another priority".to_owned(),
        };
        said + &remedy
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::DefaultNla;

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
        behind(&rules, MARK, &interfaces).is_some()
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

    #[test]
    fn what_is_ours_is_so_in_all() {
        let (mark, maker) = (
            RuleAttribute::FwMark(MARK),
            RuleAttribute::Protocol(RouteProtocol::Other(MAKER)),
        );
        let mask = RuleAttribute::FwMask(u32::MAX);
        let of =
            |table, attributes: &[RuleAttribute]| rule(9, table, attributes).is_ours(MARK, 8389);
        let whole = [mark.clone(), mask.clone(), maker.clone()];
        assert!(of(8389, &whole));
        assert!(!of(77, &whole));
        assert!(!of(8389, &[mark.clone(), mask.clone()]));
        assert!(!of(
            8389,
            &[mark, RuleAttribute::FwMask(0xffff), maker.clone()]
        ));
        assert!(!of(
            8389,
            &[RuleAttribute::FwMark(0x77), mask, maker.clone()]
        ));
        assert!(!of(8389, &[maker]));
        let dscp = RuleAttribute::Other(DefaultNla::new(25, vec![4]));
        assert!(!of(8389, &[&whole[..], &[dscp]].concat()));
    }

    #[test]
    fn what_is_put_first_is_ours_and_has_a_place() {
        let ours = [
            RuleAttribute::FwMark(MARK),
            RuleAttribute::FwMask(u32::MAX),
            RuleAttribute::Protocol(RouteProtocol::Other(MAKER)),
        ];
        let moved = |first: u32, own: Rule| {
            let rules = [rule(first, 77, &[]), own];
            let behind = behind(&rules, MARK, &[]).unwrap();
            (behind.move_of(8389), behind.words("-4"))
        };
        let (place, words) = moved(7, rule(200, 8389, &ours));
        assert_eq!(place, Some((200, 6)));
        let add = "`ip -4 rule add pref 6 fwmark 0x20c5 lookup 8389 proto 92` and then";
        assert!(words.contains(add), "{words}");
        let (place, words) = moved(7, marked(200));
        assert_eq!(place, None);
        assert!(!words.contains("proto"), "{words}");
        assert_eq!(moved(0, rule(200, 8389, &ours)).0, None);
    }
}
