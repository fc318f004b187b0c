//! Faults in whom a process reaches by an address, and in what calls alone have.

use super::Suite::{Compiler, Streams};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        601,
        "compiler/src/values/addresses.rs",
        "IpAddr::V4(_) => None,",
        "IpAddr::V4(v4) => FAULT.then_some(*v4),",
        &[(Compiler, "values::addresses resolve::tests")],
    ),
    fault(
        604,
        "compiler/src/diagram/possible.rs",
        "direction.has_sender().then_some(from)",
        "direction.has_sender().then_some(from).filter(|_| !FAULT)",
        &[(Compiler, "diff::tests::quiet")],
    ),
    fault(
        606,
        "compiler/src/lower/hook/connect.rs",
        "for word in [0, 4, 8] {",
        "for word in if FAULT { [0, 4, 4] } else { [0, 4, 8] } {",
        &[(Compiler, "lower::tests::calls")],
    ),
    fault(
        608,
        "compiler/src/lower/hook/connect.rs",
        "builder.jump(pass);",
        "builder.jump(if FAULT { known } else { pass });",
        &[(Compiler, "lower::tests::calls"), (Streams, "calls::")],
    ),
    fault(
        609,
        "compiler/src/lower/context.rs",
        "[(0, 0), (4, 0), (8, MAPPED)]",
        "[(0, 0), (0, 0), (8, MAPPED)]",
        &[(Compiler, "lower::tests::calls")],
    ),
    fault(
        611,
        "compiler/src/resolve/sides.rs",
        "address == Some(&Address::Any) && one.value.ports.is_none()",
        "address == Some(&Address::Any)",
        &[(Compiler, "resolve::")],
    ),
];
