//! TikTokenizer vocabularies: Megatron's list and tekken.json; one that loads encodes any text.
#![no_main]

use std::path::Path;

use goldlap::workload::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(tokenizer) = Tokenizer::tik_token(Path::new("v.json"), data, "v2") {
        let tokens = tokenizer.encode("héllo 字\r\n🙂").expect("a short text");
        assert!(tokens.iter().all(|token| (*token as usize) < tokenizer.vocab_size()));
        tokenizer.decode(&tokens);
    }
});
