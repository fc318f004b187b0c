//! Packets in words: after `expect`, and on the command line.

use super::condition::socket_state;
use super::rule::{LEAVING, first_after_word};
use super::{Builder, Node, Rule, child, children, first};
use crate::ast::{On, Packet, With};
use crate::source::Spanned;

impl Builder {
    /// `[DIRECTION] [PROTOCOLS] [from …] [to …] [on …] [to zone|interface …] [with …]`
    pub(super) fn packet(&mut self, node: &Node<'_>) -> Option<Packet> {
        let mut packet = Packet {
            direction: self.direction(node),
            protocols: self.protocols(node)?,
            from: None,
            to: None,
            on: None,
            leaves: None,
            with: Vec::new(),
        };
        let mut with = None;
        for part in children(node, Rule::packet_part) {
            self.packet_part(&first(&part)?, &mut packet, &mut with)?;
        }
        packet.with = with.map(|with| with.value).unwrap_or_default();
        Some(packet)
    }

    fn packet_part(
        &mut self,
        node: &Node<'_>,
        packet: &mut Packet,
        with: &mut Option<Spanned<Vec<Spanned<With>>>>,
    ) -> Option<()> {
        match node.as_rule() {
            Rule::from_clause => {
                let side = self.side(&first_after_word(node)?)?;
                self.once("from", &mut packet.from, self.spanned(node, side))
            }
            Rule::to_side => {
                let side = self.side(&first_after_word(node)?)?;
                self.once("to", &mut packet.to, self.spanned(node, side))
            }
            Rule::on_clause => {
                let on = match child(node, Rule::on_zone) {
                    Some(zone) => On::Zone(self.name_in(&zone)?),
                    None => On::Interface(self.pattern_in(&child(node, Rule::on_interface)?)?),
                };
                self.once("on", &mut packet.on, self.spanned(node, on))
            }
            Rule::leaving_by => {
                let leaves = match child(node, Rule::to_zone) {
                    Some(zone) => On::Zone(self.name_in(&zone)?),
                    None => On::Interface(self.pattern_in(&child(node, Rule::to_interface)?)?),
                };
                self.once(LEAVING, &mut packet.leaves, self.spanned(node, leaves))
            }
            Rule::with_clause => {
                let mut items = Vec::new();
                for item in children(node, Rule::with_item) {
                    self.with_item(&item, &mut items)?;
                }
                self.once("with", with, self.spanned(node, items))
            }
            _ => None,
        }
    }

    /// One item; a socket state with its namespace after it counts as two.
    fn with_item(&mut self, node: &Node<'_>, items: &mut Vec<Spanned<With>>) -> Option<()> {
        let inner = first(node)?;
        let value = match inner.as_rule() {
            Rule::with_socket => With::Socket(Some(socket_state(&inner)?)),
            Rule::with_no_socket => With::Socket(None),
            Rule::with_header => {
                let (field, test) = self.header(&inner)?;
                With::Header(field, test)
            }
            Rule::members => With::Members {
                set: self.set_ref(&first(&inner)?),
                elements: self.elements(&child(&inner, Rule::element_list)?)?,
            },
            Rule::contents => With::Contents {
                map: self.set_ref(&child(&inner, Rule::set_ref)?),
                entries: self.map_entries(&inner)?,
            },
            Rule::own_end => With::Own,
            Rule::rate_exceeded => With::RateExceeded(true),
            Rule::rate_fits => With::RateExceeded(false),
            Rule::k_malformed => With::Malformed,
            Rule::sock_absent => With::SockAbsent(self.name_in(&inner)?),
            Rule::group_side => With::Group(self.name_in(&inner)?),
            Rule::in_netns => With::Netns(self.string_in(&inner)?),
            _ => return None,
        };
        items.push(self.spanned(node, value));
        if let Some(netns) = child(&inner, Rule::in_netns) {
            let name = self.string_in(&netns)?;
            items.push(self.spanned(&netns, With::Netns(name)));
        }
        Some(())
    }
}
