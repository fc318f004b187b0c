//! Texts that must parse, and what comes out of them.

use super::{LANGUAGE, MORE, mistakes, read, source, statements};
use crate::ast::{
    Clause, Condition, Direction, HeaderTest, Packet, Side, Statement, Target, Verb, With,
};

fn rule(text: &str) -> crate::ast::Rule {
    match statements(text).remove(0) {
        Statement::Rule(rule) => *rule,
        other => panic!("{other:?}"),
    }
}

fn packet(text: &str) -> Result<Packet, Vec<&'static str>> {
    let (sources, id) = source(text);
    crate::parse_packet(&sources, id)
        .map_err(|mistakes| mistakes.iter().map(|mistake| mistake.code.0).collect())
}

#[test]
fn every_example_parses() {
    assert!(statements(LANGUAGE).len() > 40);
    assert!(statements(MORE).len() > 140);
}

#[test]
fn every_line_parses_alone_in_a_block_and_with_crlf() {
    let lines: Vec<&str> = LANGUAGE.lines().chain(MORE.lines()).collect();
    for line in lines.iter().filter(|line| mistakes(line).is_empty()) {
        statements(&format!("for netns \"n\" {{\r\n\t{line}\r\n}}\r\n{line}"));
    }
}

#[test]
fn spans_cover_what_was_written_and_nothing_else() {
    let text = "allow # c\n  # d\n\ndrop tcp from any # e\n  to any:22  \n";
    let (sources, id) = source(text);
    let (file, _) = crate::parse(&sources, id);
    let texts: Vec<&str> = file
        .statements
        .iter()
        .map(|statement| sources.text(statement.span))
        .collect();
    assert_eq!(texts, ["allow", "drop tcp from any # e\n  to any:22"]);
    let Statement::Rule(rule) = &file.statements[1].value else {
        panic!()
    };
    let clauses: Vec<&str> = rule
        .clauses
        .iter()
        .map(|clause| sources.text(clause.span))
        .collect();
    assert_eq!(clauses, ["from any", "to any:22"]);
}

#[test]
fn a_redirects_destination_may_stand_anywhere_without_to() {
    for text in [
        "redirect 3.3.3.3:* to sock proxy",
        "redirect to sock proxy 3.3.3.3:*",
        "redirect log to sock proxy 3.3.3.3:*",
    ] {
        let rule = rule(text);
        let bare = rule
            .clauses
            .iter()
            .filter(|clause| matches!(clause.value, Clause::To { bare: true, .. }))
            .count();
        let target = rule.clauses.iter().filter(|clause| matches!(&clause.value, Clause::Target(Target::Sock(name)) if name.value == "proxy"));
        assert_eq!((bare, target.count()), (1, 1), "{text}");
    }
}

#[test]
fn no_socket_is_no_socket_exists() {
    let short = super::meaning("drop if no socket in netns \"b\"");
    assert_eq!(
        short,
        super::meaning("drop if no socket exists in netns \"b\"")
    );
    let Clause::If(conditions) = &rule("drop if no socket").clauses[0].value else {
        panic!()
    };
    assert!(
        matches!(&conditions[0].value, Condition::No(inner) if matches!(inner.value, Condition::Socket { .. }))
    );
}

#[test]
fn flags_after_no_are_clear() {
    let Clause::If(conditions) = &rule("drop if tcp flags syn no ack rst").clauses[0].value else {
        panic!()
    };
    let Condition::Header(_, HeaderTest::Flags { set, clear }) = &conditions[0].value else {
        panic!()
    };
    assert_eq!((set.len(), clear.len()), (1, 2));
}

#[test]
fn labels_end_what_stands_before_them() {
    for text in [
        "allow icmp\nssh: allow tcp",
        "redirect to sock proxy\nface: allow",
        "drop if no socket\nexists: allow",
        "allow log\nmax: allow",
        "allow\nin: allow out",
        "drop if tcp flags syn\nack: allow",
        "set a = @b\nc: allow",
    ] {
        let labels: Vec<bool> = statements(text)
            .iter()
            .map(|statement| matches!(statement, Statement::Rule(rule) if rule.label.is_some()))
            .collect();
        assert_eq!(labels, [false, true], "{text}");
    }
}

#[test]
fn dashes_belong_to_names_between_letters_only() {
    let difference = super::meaning("set x = @a - @b");
    assert_eq!(difference, super::meaning("set x = @a -@b"));
    assert_eq!(difference, super::meaning("set x = @a-@b"));
    assert!(super::meaning("set x = @a-b")[0].contains("\"a-b\""));
}

#[test]
fn numbers_and_durations_have_their_value() {
    for (text, value) in [
        ("0x1F", 31),
        ("100_000", 100_000),
        ("0", 0),
        ("18446744073709551615", u64::MAX),
    ] {
        let Statement::Version(number) = &statements(&format!("sockc {text}"))[0] else {
            panic!()
        };
        assert_eq!(number.value, value);
    }
    for (text, value) in [
        ("500ms", 500),
        ("10s", 10_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("2d", 172_800_000),
    ] {
        let Statement::Set(set) = &statements(&format!("live set a max 1 expires {text}"))[0]
        else {
            panic!()
        };
        assert_eq!(set.expires.as_ref().unwrap().value, value);
    }
}

#[test]
fn a_block_holds_its_statements_and_a_text_may_begin_with_a_byte_order_mark() {
    let text = "\u{feff}for netns \"b\" { for zone w { allow drop } allow } allow";
    let statements = statements(text);
    let Statement::For(outer) = &statements[0] else {
        panic!()
    };
    let Statement::For(inner) = &outer.statements[0].value else {
        panic!()
    };
    assert_eq!(
        (
            statements.len(),
            outer.statements.len(),
            inner.statements.len()
        ),
        (2, 2, 2)
    );
}

#[test]
fn packets_are_read_in_the_words_of_expect() {
    let text = " out tcp to 192.0.2.1:22 from 8.8.8.8:40000 on zone wan \
                with socket listening in netns \"b\", tcp flags syn no ack, @banned { 1.2.3.4 }, group g # all\n";
    let packet = packet(text).unwrap();
    assert_eq!(packet.direction.unwrap().value, Direction::Out);
    assert_eq!((packet.protocols.len(), packet.with.len()), (1, 5));
    assert!(matches!(packet.from.unwrap().value, Side::Endpoints { .. }));
    assert!(matches!(&packet.with[1].value, With::Netns(name) if name.value == "b"));
}

#[test]
fn mistakes_in_packets_are_said() {
    for (text, code) in [
        ("tcp from 8.8.8.8:1 too 1.1.1.1:2", "E0102"),
        ("tcp from any from any", "E0108"),
        ("tcp from 8.8.8.8 }", "E0101"),
        ("tcp from 2001:db8::/32:53", "E0111"),
        ("tcp from 1.2.3.400", "E0110"),
        ("tcp from", "E0116"),
        ("tcp with group \"", "E0104"),
    ] {
        assert_eq!(packet(text).err(), Some(vec![code]), "{text}");
    }
    assert!(packet("").is_ok());
}

#[test]
fn the_shape_of_a_rule() {
    let rule = rule("ssh-in: audit drop in tcp, icmp 3/4 from any note \"x\"");
    assert_eq!(rule.label.unwrap().value, "ssh-in");
    assert_eq!(
        (rule.verb.value, rule.protocols.len(), rule.clauses.len()),
        (Verb::Drop, 2, 2)
    );
    assert!(rule.audit.is_some());
    assert_eq!(rule.direction.unwrap().value, Direction::In);
}

#[test]
fn what_could_be_understood_is_given() {
    let (file, mistakes) = read("set a = { 10.0.0.0/8 }\nalow tcp\nallow tcp\n");
    assert_eq!((file.statements.len(), mistakes.len()), (2, 1));
}
