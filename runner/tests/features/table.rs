//! The README's table of features, read as data.

use std::fs;

use goldlap::config::flags;
use libtest_mimic::Failed;

use super::files;
use super::switches::SWITCHES;
use super::workshop::{find, repository};

const HEADING: &str = "## Dynamic engine features";
/// What the table shortens to three dots.
const DOTS: &str = "--inference-dynamic-batching";
/// Case cells of rows that no case can have: nothing in a case's file asks for the feature, or a golden cannot hold it.
const NO_FLAG: &str = "no flag";
const A_FILE: &str = "a file";

/// One row: feature, case, test.
#[derive(Debug, Default)]
struct Row {
    text: String,
    /// Flags and keys of the feature cell.
    features: Vec<String>,
    /// Other code in the feature cell: values that a case of the row must have.
    values: Vec<String>,
    case_cell: String,
    cases: Vec<String>,
    tests: Vec<String>,
}

impl Row {
    fn parse(line: &str) -> Result<Self, Failed> {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [feature, case, test] = cells[..] else { return Err(format!("not three cells: {line}").into()) };
        let mut row = Self { text: line.to_owned(), case_cell: case.to_owned(), ..Self::default() };
        for word in code(feature).iter().flat_map(|code| code.split_whitespace()) {
            let is_key = word.len() > 3 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            match word.strip_prefix("...") {
                Some(rest) => row.features.push(format!("{DOTS}{rest}")),
                None if word.starts_with("--") || is_key => row.features.push(word.to_owned()),
                None => row.values.push(word.to_owned()),
            }
        }
        row.cases = code(case);
        row.tests = code(test);
        Ok(row)
    }
}

/// What stands between backticks.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rows() -> Result<Vec<Row>, Failed> {
    let readme = fs::read_to_string(repository().join("README.md"))?;
    let section = readme.split_once(HEADING).ok_or("the README has no table of features")?.1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let rows = lines.map(Row::parse).collect::<Result<Vec<Row>, Failed>>()?;
    if rows.len() < 15 { Err(format!("only {} rows were found", rows.len()).into()) } else { Ok(rows) }
}

/// Every flag of a row is switched off in one of its cases, and every case of a row is there for one of its flags.
pub(crate) fn every_row_is_switched_off_somewhere() -> Result<(), Failed> {
    for row in rows()? {
        let text = &row.text;
        for feature in &row.features {
            assert!(
                !feature.starts_with("--") || flags::find(feature).is_some(),
                "{feature} is no flag: {text}"
            );
            let noticed = match row.case_cell.as_str() {
                A_FILE => files::SWITCHED.contains(&feature.as_str()),
                _ => SWITCHES.iter().any(|switch| {
                    switch.feature == feature && row.cases.iter().any(|case| case == switch.case)
                }),
            };
            assert!(noticed, "no run without {feature} shows that a case of this row notices: {text}");
        }
        let is_bare = [NO_FLAG, A_FILE].contains(&row.case_cell.as_str());
        assert!((row.case_cell == NO_FLAG) == row.features.is_empty(), "no flag to switch off: {text}");
        assert!(is_bare == row.cases.is_empty(), "name a case, or say \"{NO_FLAG}\": {text}");
        for case in &row.cases {
            let (group, folder) = find(case)?;
            assert!(
                SWITCHES
                    .iter()
                    .any(|switch| switch.case == case && row.features.iter().any(|f| f == switch.feature)),
                "nothing in this row is switched off in {case} ({group}::{folder}): {text}"
            );
        }
        every_value_is_shipped(&row)?;
    }
    Ok(())
}

fn every_value_is_shipped(row: &Row) -> Result<(), Failed> {
    let mut files = String::new();
    for case in &row.cases {
        let (group, folder) = find(case)?;
        let path = repository().join("test_cases").join(group).join(folder).join("model_config.yaml");
        files.push_str(&fs::read_to_string(path)?);
    }
    let missing = |value: &&String| !row.cases.is_empty() && !files.contains(&format!(": {value}\n"));
    match row.values.iter().find(missing) {
        Some(value) => Err(format!("no case of this row has {value}: {}", row.text).into()),
        None => Ok(()),
    }
}

/// A switch without a row would be a feature that the table forgot.
pub(crate) fn every_switch_is_in_the_table() -> Result<(), Failed> {
    let rows = rows()?;
    for switch in SWITCHES {
        let is_its = |row: &&Row| {
            row.features.iter().any(|feature| feature == switch.feature)
                && row.cases.iter().any(|case| case == switch.case)
        };
        assert!(rows.iter().any(|row| is_its(&row)), "no row has {} and {}", switch.feature, switch.case);
    }
    Ok(())
}

/// Files are there, and the functions named after a file are in it.
pub(crate) fn every_named_test_exists() -> Result<(), Failed> {
    for row in rows()? {
        let is_named = row.tests.iter().any(|test| !test.ends_with(".rs"));
        assert!(is_named || row.case_cell != NO_FLAG, "name the very tests: {}", row.text);
        assert!(!row.tests.is_empty(), "no test: {}", row.text);
        let mut text = String::new();
        for test in &row.tests {
            if test.ends_with(".rs") {
                let places =
                    ["runner/src", "runner/tests", "."].map(|root| repository().join(root).join(test));
                let path = places
                    .iter()
                    .find(|path| path.is_file())
                    .ok_or_else(|| format!("{test} is not there"))?;
                text = fs::read_to_string(path)?;
                assert!(text.contains("#[test]") || text.contains("Failed>"), "{test} has no test");
            } else {
                assert!(
                    text.contains(&format!("fn {test}(")),
                    "{test} is not in the file before it: {}",
                    row.text
                );
            }
        }
    }
    Ok(())
}
