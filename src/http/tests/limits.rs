//! Rates, places and deadlines.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::auth::AuthSettings;
use crate::http::limits::LimitSettings;

fn door(limits: LimitSettings) -> Door {
    Door::new(Settings { limits, ..Settings::default() })
}

#[tokio::test]
async fn a_rate_is_per_token_and_spares_the_probes() {
    let auth = AuthSettings {
        enabled: true,
        read_public: true,
        token: Some("root".into()),
        ..AuthSettings::default()
    };
    let limits = LimitSettings { requests_per_minute: NonZeroU32::new(2), ..LimitSettings::default() };
    let door = Door::new(Settings { auth, limits, ..Settings::default() });
    for _ in 0..2 {
        assert_eq!(door.get("/probe/things").await.status, StatusCode::OK);
    }
    let answer = door.get("/probe/things").await;
    answer.assert_problem(Code::TooManyRequests);
    let seconds: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    door.get("/nope").await.assert_problem(Code::TooManyRequests);
    assert_eq!(door.get("/health").await.status, StatusCode::OK);
    let known = Request::get("/probe/things").header("x-api-key", "root").body(Body::empty()).unwrap();
    assert_eq!(door.send(known).await.status, StatusCode::OK);
}

#[tokio::test]
async fn writes_at_once_are_bounded() {
    let door = door(LimitSettings { concurrent_writes: 1, ..LimitSettings::default() });
    let stuck = tokio::spawn({
        let door = door.clone();
        async move { door.post("/probe/stuck", "").await.status }
    });
    door.probe.begun.acquire().await.unwrap().forget();
    door.post("/probe/touch", "").await.assert_problem(Code::TooManyRequests);
    assert_eq!(door.get("/probe/things").await.status, StatusCode::OK);
    assert_eq!(door.post("/probe/compute", "").await.status, StatusCode::OK);
    stuck.abort();
    assert!(stuck.await.unwrap_err().is_cancelled());
    assert_eq!(door.post("/probe/touch", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_deadline_ends_what_does_not_wait() {
    let door = door(LimitSettings { deadline: Duration::from_millis(50), ..LimitSettings::default() });
    let waiting = tokio::spawn({
        let door = door.clone();
        async move { door.get("/probe/wait").await.body }
    });
    door.probe.begun.acquire().await.unwrap().forget();
    door.get("/probe/stuck").await.assert_problem(Code::TemporalUnavailable);
    door.post("/probe/stuck", "").await.assert_problem(Code::OutcomeUnknown);
    // The one that began first has outlived two deadlines.
    door.probe.release.add_permits(1);
    assert_eq!(waiting.await.unwrap(), "done");
}

#[tokio::test]
async fn what_only_waits_is_sent_elsewhere_when_this_server_stops() {
    let stop = CancellationToken::new();
    let door = Door::new(Settings { stop: stop.clone(), ..Settings::default() });
    let waiting = tokio::spawn({
        let door = door.clone();
        async move { door.get("/probe/wait").await }
    });
    door.probe.begun.acquire().await.unwrap().forget();
    stop.cancel();
    waiting.await.unwrap().assert_problem(Code::ShuttingDown);
    assert_eq!(door.post("/probe/touch", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up() {
    let door = door(LimitSettings { deadline: Duration::from_millis(50), ..LimitSettings::default() });
    let never = Body::from_stream(futures::stream::pending::<Result<&str, std::io::Error>>());
    door.post("/probe/things", never).await.assert_problem(Code::InvalidRequest);
}

#[tokio::test]
async fn waiting_requests_have_places_of_their_own() {
    let door = door(LimitSettings { concurrent_waits: 0, concurrent_writes: 1, ..LimitSettings::default() });
    door.get("/probe/wait").await.assert_problem(Code::TooManyRequests);
    assert_eq!(door.post("/probe/touch", "").await.status, StatusCode::OK);
}
