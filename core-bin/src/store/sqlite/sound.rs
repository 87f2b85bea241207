//! Whether the file itself is sound: its pages, kept versions, and rows that nothing names.

use super::kept::Versions;
use super::pages::Pages;
use crate::store::StoreError;

/// Lines of SQLite's own check that are told at the most.
const LINES: i64 = 100;

/// What each question counts must be none.
const QUESTIONS: &[(&str, &str)] = &[
    (
        "pieces that a body names are missing",
        "SELECT count(*) FROM span s LEFT JOIN piece p ON p.id = s.piece WHERE p.id IS NULL",
    ),
    (
        "pieces are named by no body",
        "SELECT count(*) FROM piece WHERE id NOT IN (SELECT piece FROM span)",
    ),
    (
        "bodies are named by no world, version, upload or trash",
        "SELECT count(DISTINCT object) FROM span WHERE object NOT IN (\
           SELECT object FROM world WHERE object IS NOT NULL UNION ALL \
           SELECT object FROM version WHERE object IS NOT NULL UNION ALL \
           SELECT object FROM staged UNION ALL SELECT id FROM trash WHERE kind IN (1, 3))",
    ),
    (
        "counters of what is kept are not right",
        "SELECT (SELECT log_rows FROM store) <> (SELECT count(*) FROM log) \
         OR (SELECT history_bytes FROM store) <> (SELECT coalesce(sum(size), 0) FROM version)",
    ),
    (
        "chains belong to no world and wait in no trash",
        "SELECT count(DISTINCT world) FROM event WHERE world NOT IN (\
           SELECT id FROM world UNION ALL SELECT id FROM trash WHERE kind = 2)",
    ),
    (
        "worlds have more or fewer events than they count",
        "SELECT count(*) FROM world w LEFT JOIN (\
           SELECT world, count(*) AS events FROM event GROUP BY world) e ON e.world = w.id \
         WHERE w.fault IS NULL AND coalesce(e.events, 0) <> w.events",
    ),
    (
        "marks name no event of their chain",
        "SELECT count(*) FROM mark m JOIN world w ON w.id = m.world \
         LEFT JOIN event e ON e.n = m.n AND e.world = m.world AND e.id = m.id WHERE e.n IS NULL",
    ),
];

/// Everything that is wrong, a sentence each; empty when the file is sound.
pub fn check<P: Pages>(pages: &P) -> Result<Vec<String>, StoreError> {
    let mut wrong = pages.page(|db| {
        let mut statement = db.prepare(&format!("PRAGMA integrity_check({LINES})"))?;
        statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
    })?;
    wrong.retain(|line| line != "ok");
    if !wrong.is_empty() {
        return Ok(wrong);
    }
    let mut versions = Versions::default();
    while let Some(version) = versions.next(pages, u64::MAX)? {
        let found = versions.check(pages, &version, None)?;
        wrong.extend(found.map(|found| format!("version {}: {found}", version.event)));
    }
    for (text, sql) in QUESTIONS {
        let count: i64 = pages.page(|db| db.query_row(sql, [], |row| row.get(0)))?;
        if count > 0 {
            wrong.push(format!("{count} {text}"));
        }
    }
    Ok(wrong)
}
