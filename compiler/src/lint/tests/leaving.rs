//! Rules for interfaces that the policy is not on.

/// Of patterns that mean the same interfaces the widest is told, and none that other rules name.
#[test]
fn a_rule_for_other_interfaces_names_its_own_patterns() {
    for (rules, told) in [
        (
            "allow forward on interface foo* to interface f*\n",
            "name `f*` in",
        ),
        (
            "allow forward on interface e* to interface e*\ndrop on interface eth9\n",
            "name `e*` in",
        ),
    ] {
        let text = format!("interfaces wan0\ndefault in allow\ndefault forward drop\n{rules}");
        let helps = super::helps("W0612", &text);
        let help = helps.first().map(String::as_str).unwrap_or_default();
        assert!(help.starts_with(told), "{text}: {helps:?}");
    }
}
