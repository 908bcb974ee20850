//! A rank's link to a coordinator that is not known to be ours: nothing but the original's messages, and prompts
//! that come as text become tokens here, since no foreign coordinator does that.
//!
//! A coordinator of 0.19 ends of a streamed reply, a later one passes it on. They are told apart by their submissions,
//! which have four elements in 0.19 and five later.

use std::collections::HashMap;
use std::time::Duration;

use super::pulse::Link;
use crate::coordinator::wire::{
    ErrorClass, FinalReply, PartialReply, Prompt, RankCommand, RankStats, Submit,
};
use crate::coordinator::{LinkError, RankLink, Tokenize};
use crate::engine::CacheChanges;
use crate::metrics::RankRecord;

/// See the head of this file.
pub(super) struct PlainLink {
    link: RankLink,
    tokenize: Tokenize,
    /// Prompts of open requests that came as text; their replies repeat it.
    texts: HashMap<u64, String>,
}

impl PlainLink {
    pub(super) fn new(link: RankLink, tokenize: Tokenize) -> Self {
        Self { link, tokenize, texts: HashMap::new() }
    }

    /// The submission with tokens for a prompt, and streaming only where the coordinator takes it; `None` if it has no
    /// tokens, which has been answered then.
    fn prepared(&mut self, mut submit: Submit) -> Result<Option<RankCommand>, LinkError> {
        submit.sampling.streaming &= submit.is_later_form();
        if let Prompt::Text(text) = &submit.prompt {
            match (self.tokenize)(text, submit.sampling.add_bos) {
                Ok(tokens) => {
                    let tokens = Prompt::Tokens(tokens);
                    if let Prompt::Text(text) = std::mem::replace(&mut submit.prompt, tokens) {
                        self.texts.insert(submit.id, text);
                    }
                }
                Err(reason) => {
                    let reply = FinalReply::failed(submit.id, submit.sampling, ErrorClass::Any, &reason, 0.0);
                    self.link.send_finals(vec![reply])?;
                    return Ok(None);
                }
            }
        }
        Ok(Some(RankCommand::Submit(submit)))
    }
}

impl Link for PlainLink {
    fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<RankCommand>, LinkError> {
        match self.link.recv_timeout(timeout)? {
            Some(RankCommand::Submit(submit)) => self.prepared(submit),
            // Ours alone; whatever it means here, it was not meant so.
            Some(RankCommand::Agreed { .. } | RankCommand::Refusal { .. }) => Ok(None),
            other @ (Some(RankCommand::Abort { .. } | RankCommand::Control(_)) | None) => Ok(other),
        }
    }

    fn send_partials(&mut self, partials: Vec<PartialReply>) -> Result<(), LinkError> {
        self.link.send_partials(partials)
    }

    fn send_finals(&mut self, mut replies: Vec<FinalReply>) -> Result<(), LinkError> {
        for reply in &mut replies {
            if let Some(text) = self.texts.remove(&reply.request_id) {
                reply.prompt = Some(text);
            }
            // The coordinator would pass on what it does not know, and a client of 0.17 or 0.18 would end of it.
            reply.effort = None;
        }
        self.link.send_finals(replies)
    }

    /// The original's coordinator guesses what ranks have.
    fn send_cache_changes(&mut self, _changes: CacheChanges) -> Result<(), LinkError> {
        Ok(())
    }

    /// The original has none: an unknown header would end its coordinator.
    fn heartbeat(&mut self, _stats: RankStats) -> Result<(), LinkError> {
        Ok(())
    }

    /// The original's engine leaves them to hang. Each is open, so that every coordinator knows where its answer goes; it must
    /// come before the farewell, after which 0.19's coordinator ends of it.
    fn send_dropped(&mut self, replies: Vec<FinalReply>) -> Result<(), LinkError> {
        self.send_finals(replies)
    }

    /// Nor does it take one.
    fn send_report(&mut self, _record: RankRecord) -> Result<(), LinkError> {
        Ok(())
    }

    fn disconnect(self) -> Result<(), LinkError> {
        self.link.disconnect()
    }
}
