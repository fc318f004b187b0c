//! What all pictures have in common: how a file begins and is headed, its colours, and text in it.
//!
//! Pictures need nothing else, and can be read on light and dark pages. What is drawn in them is not here.

use std::fmt::Display;

/// Colours that people who see fewer of them tell apart (Okabe and Ito).
pub(crate) mod colour {
    pub(crate) const BLUE: &str = "#0072b2";
    pub(crate) const GREEN: &str = "#009e73";
    pub(crate) const GREY: &str = "#888888";
    pub(crate) const PURPLE: &str = "#cc79a7";
    pub(crate) const SKY: &str = "#56b4e9";
    pub(crate) const VERMILION: &str = "#d55e00";
}

/// The end of a file.
pub(crate) const END: &str = "</svg>\n";

/// The beginning of a file: its size, its title, what it defines, and a white ground.
pub(crate) fn begin((width, height): (f64, f64), title: &str, definitions: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n<title>{}</title>\n{definitions}\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        escaped(title)
    )
}

/// The title at the top of a picture, and a line below it.
pub(crate) fn heading(left: f64, title: &str, below: &str) -> String {
    format!(
        "<text x=\"{left}\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{}</text>\n\
         <text x=\"{left}\" y=\"46\">{}</text>\n",
        escaped(title),
        escaped(below)
    )
}

/// A line of what is said of a picture, in grey.
pub(crate) fn remark(left: f64, y: f64, text: impl Display) -> String {
    format!("<text x=\"{left}\" y=\"{y}\" fill=\"#555555\">{text}</text>\n")
}

/// The text as it may stand in an element or an attribute, whatever is in it.
pub(crate) fn escaped(text: &str) -> String {
    let text: String = text.chars().filter(|letter| !letter.is_control()).collect();
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
