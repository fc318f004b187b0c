//! Files that name files, and lists.

use super::*;
use crate::files::Texts;
use crate::observer::Observer;

fn reading(files: &Texts, text: &str) -> (Reading, Vec<Diagnostic>, SourceMap) {
    let mut sources = SourceMap::default();
    let id = sources.add("rules/edge.sk", text);
    let (reading, found) = read(&mut sources, id, &mut files.clone());
    (reading, found, sources)
}

fn found(files: &Texts, text: &str) -> Vec<&'static str> {
    let (_, found, _) = reading(files, text);
    found.iter().map(|one| one.code.0).collect()
}

/// The list of a policy's only set, from these bytes.
fn list(bytes: &str) -> (Option<Arc<List>>, Vec<Diagnostic>, SourceMap) {
    let files = Texts::default().with("rules/list.txt", bytes);
    let (reading, found, sources) = reading(&files, "set s = file \"list.txt\"");
    let list = reading.lists.values().next().unwrap().clone();
    (list, found, sources)
}

#[test]
fn includes_stand_where_they_are_named_and_are_relative_to_the_file_that_names_them() {
    let files = Texts::default()
        .with("rules/lib/a.sk", "count udp\ninclude \"b.sk\"\ncount sctp")
        .with("rules/lib/b.sk", "count esp");
    let text = "count tcp\ninclude \"lib/a.sk\"\nfor zone z { include \"lib/b.sk\" }";
    let (reading, found, sources) = reading(&files, text);
    assert!(found.is_empty() && reading.whole, "{found:?}");
    let text = |statement: &Spanned<Statement>| sources.text(statement.span).to_owned();
    let statements: Vec<String> = reading.file.statements.iter().map(text).collect();
    assert_eq!(
        statements[..4],
        ["count tcp", "count udp", "count esp", "count sctp"]
    );
    let Statement::For(block) = &reading.file.statements[4].value else {
        panic!("no block");
    };
    assert_eq!(text(&block.statements[0]), "count esp");
    let names: Vec<&str> = sources.iter().map(|(_, one)| one.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "rules/edge.sk",
            "rules/lib/a.sk",
            "rules/lib/b.sk",
            "rules/lib/b.sk"
        ]
    );
}

#[test]
fn a_circle_is_shown_as_a_chain_and_a_file_may_be_included_twice() {
    let files = Texts::default()
        .with("rules/a.sk", "include \"./b.sk\"")
        .with("rules/b.sk", "include \"../rules/a.sk\"")
        .with("rules/c.sk", "count tcp");
    let (reading, found, _) = reading(&files, "include \"a.sk\"");
    assert_eq!(found[0].code, codes::INCLUDE_CYCLE);
    assert_eq!(
        found[0].primary.text,
        "this closes the circle: `rules/a.sk` includes `rules/b.sk` includes `rules/a.sk`"
    );
    assert!(!reading.whole && found.len() == 1);
    assert_eq!(
        self::found(&files, "include \"c.sk\" include \"c.sk\""),
        Vec::<&str>::new()
    );
    assert_eq!(self::found(&files, "include \"edge.sk\""), ["E0225"]);
}

#[test]
fn what_cannot_be_included_is_said_at_the_include() {
    let files = Texts::default().with("rules/bytes.sk", b"count \xff".to_vec());
    for (text, code) in [
        ("include \"gone.sk\"", "E0226"),
        ("include \"bytes.sk\"", "E0226"),
        ("set s = file \"gone.txt\"", "E0226"),
        ("include <esentials>", "E0227"),
    ] {
        assert_eq!(found(&files, text), [code], "{text}");
    }
    let (_, found, _) = reading(&files, "include <esentials>");
    let help = found[0].help.as_deref();
    assert_eq!(
        help,
        Some("write `<essentials>`, or the path of a file as a string")
    );
}

#[test]
fn links_that_go_in_circles_come_to_an_end() {
    struct Links;
    impl Observer for Links {}
    impl Files for Links {
        fn read(&mut self, _: &std::path::Path) -> Result<Vec<u8>, String> {
            Ok(b"include \"x/a.sk\" include \"y/a.sk\"".to_vec())
        }
    }
    let mut sources = SourceMap::default();
    let id = sources.add("a.sk", "include \"x/a.sk\"");
    let (_, found) = read(&mut sources, id, &mut Links);
    assert!(found.iter().all(|one| one.code == codes::TOO_MANY_INCLUDES));
}

#[test]
fn a_list_holds_both_families_and_merges_what_overlaps() {
    let text = "\u{feff}# networks\r\n10.0.0.0/8 # all\r\n\r\n10.1.2.3\r\n  192.0.2.1-192.0.2.9\t\n\
                2001:db8::/32\n2001:db8::1\n192.0.2.10 - 192.0.2.12";
    let (list, found, _) = list(text);
    assert!(found.is_empty(), "{found:?}");
    let list = list.unwrap();
    assert_eq!((list.elements, list.overlapping), (6, 2));
    assert_eq!(
        list.addresses.v4.ranges(),
        [(0x0a00_0000, 0x0aff_ffff), (0xc000_0201, 0xc000_020c)]
    );
    assert_eq!(list.addresses.v6.ranges().len(), 1);
}

#[test]
fn every_wrong_line_is_an_error_with_its_place() {
    let wrong = [
        ("10.0.0.1/8", "E0203"),
        ("10.0.0.0/33", "E0204"),
        ("10.0.0.9-10.0.0.1", "E0206"),
        ("10.0.0.1-::1", "E0207"),
        ("10.0.0.256", "E0229"),
        ("10.0.0.0/", "E0229"),
        ("10.0.0.0/+8", "E0229"),
        ("10.0.0.1 10.0.0.2", "E0229"),
        ("example.com", "E0229"),
        ("010.0.0.1", "E0229"),
        ("[::1]", "E0229"),
        ("@other", "E0229"),
    ];
    let text: String = wrong
        .iter()
        .map(|(line, _)| format!("1.1.1.1\n {line}\n"))
        .collect();
    let (list, found, sources) = list(&text);
    assert!(list.is_none());
    let places: Vec<_> = found
        .iter()
        .map(|one| (sources.place(one.primary.span), one.code.0))
        .collect();
    let expected: Vec<_> = (1u32..)
        .zip(wrong)
        .map(|(number, (_, code))| ((2 * number, 2), code))
        .collect();
    assert_eq!(places, expected);
    assert_eq!(
        sources.get(found[0].primary.span.source).name,
        "rules/list.txt"
    );
}

#[test]
fn after_many_wrong_lines_the_others_are_only_counted() {
    let (_, found, _) = list(&"x\n".repeat(1000));
    assert_eq!(found.len(), 21);
    assert_eq!(
        found.last().unwrap().message,
        "980 more lines of this list are wrong"
    );
}

#[test]
fn mapped_addresses_in_a_list_are_warned_of_once() {
    let (list, found, _) = list("::ffff:10.0.0.1\n::ffff:10.0.0.2\n::ffff:0:0/96\n");
    assert!(list.is_some());
    assert_eq!(found.len(), 1);
    assert!(found[0].message.starts_with("2 IPv4-mapped"));
}

#[test]
fn a_file_that_two_sets_name_is_read_once() {
    struct Counting(u32);
    impl Observer for Counting {}
    impl Files for Counting {
        fn read(&mut self, _: &std::path::Path) -> Result<Vec<u8>, String> {
            self.0 += 1;
            Ok(b"10.0.0.1\n".to_vec())
        }
    }
    let mut sources = SourceMap::default();
    let id = sources.add(
        "a.sk",
        "set a = file \"l.txt\" set b = file \"./l.txt\" - { 10.0.0.2 }",
    );
    let mut files = Counting(0);
    let (reading, _) = read(&mut sources, id, &mut files);
    assert_eq!((files.0, reading.lists.len()), (1, 2));
}
