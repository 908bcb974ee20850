//! What is wrong with a piece of JSON: the message apart from its position, so that a reader of a larger
//! file can add its own line numbers.

/// A JSON error whose position is kept beside the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonFault {
    /// What is wrong, without a position.
    pub(crate) message: String,
    /// 1-based line within the text that was parsed.
    pub(crate) line: usize,
    /// 1-based column; 0 = before the first character of the line.
    pub(crate) column: usize,
}

impl From<&serde_json::Error> for JsonFault {
    fn from(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let position = format!(" at line {line} column {column}");
        let message = text.strip_suffix(&position).unwrap_or(&text).to_owned();
        Self { message, line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_apart_from_the_message() {
        let error = serde_json::from_str::<Vec<u8>>("[1,\n x]").unwrap_err();
        let fault = JsonFault::from(&error);
        assert_eq!(fault, JsonFault { message: "expected value".to_owned(), line: 2, column: 2 });
    }
}
