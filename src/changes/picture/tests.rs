use super::*;
use crate::changes::fixtures;
use roxmltree::Document;

#[test]
fn pictures_are_xml_that_stands_alone() {
    let mut report = fixtures::all();
    report.scopes[0].changes[0].region.within = "a < b & \"c\" \u{1b}".into();
    for report in [
        report,
        fixtures::one(),
        Report::default(),
        fixtures::many(50),
    ] {
        let text = draw("a<b>.sk -> \"b\".sk", &report);
        let document = Document::parse(&text).unwrap();
        let outside = |name: &str| ["script", "image", "use", "foreignObject"].contains(&name);
        assert!(
            document
                .descendants()
                .all(|node| !outside(node.tag_name().name()))
        );
        assert!(
            !text.contains("href") && !text.contains("url(http"),
            "{text}"
        );
    }
}

#[test]
fn areas_lie_in_their_panels_and_can_be_seen() {
    let text = draw("", &fixtures::one());
    let document = Document::parse(&text).unwrap();
    let areas: Vec<_> = document
        .descendants()
        .filter(|node| {
            node.has_tag_name("rect") && node.children().any(|child| child.has_tag_name("title"))
        })
        .collect();
    assert_eq!(areas.len(), 3);
    for area in areas {
        let number = |name| area.attribute(name).unwrap().parse::<f64>().unwrap();
        let (x, y, width, height) = (number("x"), number("y"), number("width"), number("height"));
        assert!(x >= 0.0 && x + width <= WIDTH + 0.1, "{area:?}");
        assert!(y >= 0.0 && y + height <= HEIGHT + 0.1, "{area:?}");
        assert!(width >= MIN_SIZE && height >= MIN_SIZE, "{area:?}");
    }
}

#[test]
fn what_is_not_drawn_is_said() {
    let mut report = fixtures::one();
    let shadow = report.scopes[0].changes[0].shadow[0];
    report.scopes[0].changes[0].shadow = vec![shadow; MAX_AREAS + 7];
    let text = draw("", &report);
    assert!(text.contains("7 more areas not drawn"));
    assert!(text.contains("nothing changes"));
}
