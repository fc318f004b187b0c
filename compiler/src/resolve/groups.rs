//! `group` declarations: the cgroups whose processes' sockets are in a group.

use cranelift_entity::PrimaryMap;
use sockc_grammar::ast::GroupDecl;
use sockc_grammar::diagnostic::Diagnostic;
use sockc_grammar::source::Spanned;

use super::codes;
use super::report::Report;
use crate::policy::{Group, GroupId, SourceLocation, lies_in};

/// The group that is declared; `None` if its path is wrong or overlaps another's, which is reported.
pub(super) fn group(
    decl: &GroupDecl,
    place: SourceLocation,
    others: &PrimaryMap<GroupId, Group>,
    report: &mut Report,
) -> Option<Group> {
    let cgroup = cgroup_path(&decl.cgroup, report)?;
    // A socket is in one map only, so that one program decides over it.
    if let Some(other) = others
        .values()
        .find(|other| lies_in(&cgroup, &other.cgroup) || lies_in(&other.cgroup, &cgroup))
    {
        report.push(
            Diagnostic::error(
                codes::GROUPS_OVERLAP,
                format!(
                    "the groups `{}` and `{}` overlap",
                    decl.name.value, other.name
                ),
                decl.cgroup.span,
                format!("a socket here could be in `{}` too", other.name),
            )
            .also(other.place.span, "the other group")
            .help("choose cgroups of which neither is the other or lies inside it"),
        );
        return None;
    }
    Some(Group {
        name: decl.name.value.clone(),
        cgroup,
        place,
    })
}

/// The path without doubled slashes, `.` and a slash at the end.
pub(super) fn cgroup_path(path: &Spanned<String>, report: &mut Report) -> Option<String> {
    let written = &path.value;
    let parts: Vec<&str> = written
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    let wrong = if !written.starts_with('/') {
        Some("does not begin with `/`")
    } else if parts.contains(&"..") {
        Some("`..` leads out of the cgroup")
    } else if written.contains('\0') {
        Some("holds a NUL byte")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        report.error(
            codes::CGROUP_PATH,
            format!("`{}` is not a cgroup's path", written.escape_debug()),
            path.span,
            wrong,
            "write the path from the root of the cgroup-v2 hierarchy, such as \"/kubepods.slice\"",
        );
        return None;
    }
    Some(format!("/{}", parts.join("/")))
}
