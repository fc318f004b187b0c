//! Counts of things in words.

/// So many of a thing: `1 rule`, `1,200 rules`.
pub(crate) fn of(number: impl ToString, thing: &str) -> String {
    let number = grouped(number);
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// A number with a mark at each thousand.
pub(crate) fn grouped(number: impl ToString) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_plural() {
        assert_eq!(of(1, "rule"), "1 rule");
        assert_eq!(of(1_572, "rule"), "1,572 rules");
        assert_eq!(of(0, "rule"), "0 rules");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }
}
