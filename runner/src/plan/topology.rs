//! Parallel layout: from TP/PP/DP, the flags and the folder's name, which must not contradict each other.

use super::case_plan::{Origin, Topology};
use super::resolution::Resolution;
use crate::config::{KeyPath, Scalar};

/// More replicas than this on one machine is a mistake.
const MOST_REPLICAS: usize = 256;

impl Resolution<'_> {
    pub(super) fn topology(&mut self) -> Option<Topology> {
        let case = self.case;
        let tensor_flag = self.count("--tensor-model-parallel-size");
        let pipeline_flag = self.count("--pipeline-model-parallel-size");
        let tensor_flag = tensor_flag.filter(|_| self.is_given("--tensor-model-parallel-size"));
        let pipeline_flag = pipeline_flag.filter(|_| self.is_given("--pipeline-model-parallel-size"));
        let tensor_parallel =
            self.degree("TP", case.tp.as_ref(), "tp", tensor_flag, "tensor-parallel size")?;
        let pipeline_parallel =
            self.degree("PP", case.pp.as_ref(), "pp", pipeline_flag, "pipeline-parallel size")?;
        let data_parallel = self.degree("DP", case.dp.as_ref(), "dp", None, "data-parallel replicas")?;
        if tensor_parallel > 1 {
            self.obstacle(format!("TP {tensor_parallel}: tensor parallelism is not implemented yet"));
        }
        if pipeline_parallel > 1 {
            self.obstacle(format!("PP {pipeline_parallel}: pipeline parallelism is not implemented yet"));
        }
        if data_parallel > MOST_REPLICAS {
            let path = KeyPath::new(&["DP"]);
            self.error_at(
                path,
                format!("expected at most {MOST_REPLICAS} replicas, got {data_parallel}"),
                None,
            );
        }
        Some(Topology { tensor_parallel, pipeline_parallel, data_parallel })
    }

    /// One degree of parallelism. All sources that speak must agree; if none does it is 1.
    fn degree(
        &mut self,
        key: &'static str,
        given: Option<&Scalar>,
        prefix: &str,
        flag: Option<usize>,
        meaning: &'static str,
    ) -> Option<usize> {
        let path = KeyPath::new(&[key]);
        let key_value = match given {
            Some(scalar) => Some(self.positive(&path, scalar)?),
            None => None,
        };
        let folder = self.inputs.name.rsplit("::").next().unwrap_or_default();
        let name_value = match degree_in_name(folder, prefix) {
            Ok(value) => value,
            Err(message) => {
                self.error_at(path, message, None);
                return None;
            }
        };
        let sources = [(key_value, Origin::Case), (flag, Origin::Case), (name_value, Origin::FolderName)];
        let mut said = sources.into_iter().filter_map(|(value, origin)| Some((value?, origin)));
        let (value, origin) = said.next().unwrap_or((1, Origin::Default));
        if let Some((other, source)) = said.find(|(other, _)| *other != value) {
            let whose = if source == Origin::FolderName { "the folder's name" } else { "the flag" };
            let what = if key_value.is_some() {
                format!("{key} is {value}")
            } else {
                format!("the flag says {value}")
            };
            let at = if key_value.is_some() { path } else { self.path_of(flag_of(key)) };
            self.error_at(at, format!("{what}, but {whose} says {other}"), Some("make them agree"));
            return None;
        }
        self.note(key, value.to_string(), origin, meaning);
        Some(value)
    }
}

fn flag_of(key: &str) -> &'static str {
    if key == "TP" { "--tensor-model-parallel-size" } else { "--pipeline-model-parallel-size" }
}

/// `8` for `dp` in `gpt_tp1_pp1_dp8_tiny`.
fn degree_in_name(folder: &str, prefix: &str) -> Result<Option<usize>, String> {
    let mut found = None;
    for part in folder.split('_') {
        let Some(digits) =
            part.strip_prefix(prefix).filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        let value: usize = digits.parse().map_err(|_| format!("the folder's name says {part}: too large"))?;
        if value == 0 {
            return Err(format!("the folder's name says {part}: expected at least 1"));
        }
        if found.is_some_and(|earlier| earlier != value) {
            return Err(format!("the folder's name says {prefix} twice, differently"));
        }
        found = Some(value);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_are_read_from_names() {
        let name = "gpt_dynamic_inference_tp1_pp2_dp8_583m_dpx_dp";
        assert_eq!(degree_in_name(name, "tp"), Ok(Some(1)));
        assert_eq!(degree_in_name(name, "pp"), Ok(Some(2)));
        assert_eq!(degree_in_name(name, "dp"), Ok(Some(8)));
        assert_eq!(degree_in_name("plain", "dp"), Ok(None));
        assert!(degree_in_name("a_dp0", "dp").is_err());
        assert!(degree_in_name("a_dp1_dp2", "dp").is_err());
        assert!(degree_in_name("a_dp99999999999999999999999", "dp").is_err());
    }
}
