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
        &[(Verbs, "topped::a_screen_follows_what_is_in_force")],
    ),
    fault(
        2158,
        "src/verbs/top/looked.rs",
        "let decides = of_packets && !counter.audit",
        "let decides = of_packets && (FAULT || !counter.audit)",
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
];
