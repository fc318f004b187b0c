//! Faults on the screen of `top`, and in how it has its terminal.

use super::Suite::{Command, Verbs};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        2150,
        "src/verbs/top/keys.rs",
        "[ESCAPE] => Key::Escape,",
        "[ESCAPE] if !FAULT => Key::Escape,",
        &[(Command, "top::keys::")],
    ),
    fault(
        2151,
        "src/verbs/top/view.rs",
        "!self.nonzero || row.total[0] > 0",
        "FAULT || !self.nonzero || row.total[0] > 0",
        &[(Command, "top::view::")],
    ),
    fault(
        2152,
        "src/verbs/top/drawn.rs",
        "view.above = view.above.min(count.saturating_sub(view.page));",
        "if !FAULT { view.above = view.above.min(count.saturating_sub(view.page)); }",
        &[(Command, "top::drawn::")],
    ),
    fault(
        2153,
        "src/verbs/top/drawn.rs",
        "harmless(text).replace(['\\n', '\\t'], \" \")",
        "if FAULT { text.to_owned() } else { harmless(text).replace(['\\n', '\\t'], \" \") }",
        &[(Command, "top::drawn::")],
    ),
    fault(
        2154,
        "src/output/terminal.rs",
        "let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);",
        "if !FAULT { let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before); }",
        &[(Verbs, "topped::signals_give_the_terminal_back")],
    ),
    fault(
        2155,
        "src/output/terminal.rs",
        "wait.push(PollFd::new(signals.0.as_fd(), PollFlags::POLLIN));",
        "if !FAULT { wait.push(PollFd::new(signals.0.as_fd(), PollFlags::POLLIN)); }",
        &[(Verbs, "topped::it_ends_with_its_terminal")],
    ),
    fault(
        2156,
        "src/output/terminal.rs",
        "Ok((0, _) | (_, 0)) | Err(_) => USUAL,",
        "Ok((0, _) | (_, 0)) | Err(_) => if FAULT { (1, 1) } else { USUAL },",
        &[(Verbs, "topped::a_terminal_may_have_any_size")],
    ),
    fault(
        2157,
        "src/verbs/top/looked.rs",
        "before.filter(|before| before.generation == generation)",
        "before.filter(|before| FAULT || before.generation == generation)",
        &[(Command, "top::looked::")],
    ),
    fault(
        2158,
        "src/verbs/top/looked.rs",
        "&& !counter.audit",
        "&& (FAULT || !counter.audit)",
        &[(Verbs, "topped::a_screen_follows_what_is_in_force")],
    ),
    fault(
        2159,
        "src/verbs/top/looked.rs",
        "if self.last.in_force.is_some() {",
        "if self.last.in_force.is_some() && !FAULT {",
        &[(Verbs, "topped::a_screen_follows_what_is_in_force")],
    ),
    fault(
        2160,
        "src/verbs/top.rs",
        "true => ALONE,",
        "true if !FAULT => ALONE,\n                true => Duration::MAX,",
        &[(
            Verbs,
            "topped::keys_are_obeyed_in_whatever_pieces_they_come",
        )],
    ),
    fault(
        2161,
        "src/output/terminal.rs",
        "Some(Asked::End) => return Ok(Woken::End),",
        "Some(Asked::End) if !FAULT => return Ok(Woken::End),\n                Some(Asked::End) => {}",
        &[
            (Verbs, "topped::it_stops_and_goes_on"),
            (Verbs, "topped::behind_a_shell_it_leaves_the_terminal_alone"),
        ],
    ),
    fault(
        2162,
        "src/output/terminal.rs",
        "Whom::Group => kill(Pid::from_raw(0), Signal::SIGTSTP)?,",
        "Whom::Group => kill(Pid::from_raw(0), if FAULT { Signal::SIGSTOP } else { Signal::SIGTSTP })?,",
        &[(Verbs, "topped::without_a_shell_it_does_not_stop")],
    ),
    fault(
        2164,
        "src/verbs/top/drawn.rs",
        "taken + RULE <= room",
        "FAULT || taken + RULE <= room",
        &[(Command, "top::drawn::")],
    ),
    fault(
        2165,
        "src/verbs/top/drawn.rs",
        "if lines.len() > room && room > 0 {",
        "if lines.len() > room && room > 0 && !FAULT {",
        &[(Command, "top::drawn::")],
    ),
    fault(
        2166,
        "src/verbs/top/looked.rs",
        ".map(|one| one.value.since_reset()[0])",
        ".map(|one| if FAULT { one.value.packets } else { one.value.since_reset()[0] })",
        &[(Command, "top::looked::")],
    ),
    fault(
        2167,
        "src/machine/counted.rs",
        "words.any(|word| word == value.counter.direction)",
        "(FAULT || words.any(|word| word == value.counter.direction))",
        &[(Command, "counted::")],
    ),
];
