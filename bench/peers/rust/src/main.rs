//! A peer in Rust: hyper, tokio on one thread, rustls, serde_json's `Value`, and the operations written by hand.
//!
//! Called as `peer TLS-DIRECTORY TABLE PORT`.

use std::{collections::HashMap, convert::Infallible, fs, net::Ipv4Addr, path::Path, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        version::TLS13,
    },
};

/// What a profile becomes: `resource`, `count`, `pools`, `tolerations`, `nodeSelector`.
type Table = HashMap<String, Value>;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let table: Table = serde_json::from_slice(&fs::read(&arguments[2]).unwrap()).unwrap();
    let port = arguments[3].parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, serve(acceptor(Path::new(&arguments[1])), Arc::new(table), port));
}

fn acceptor(directory: &Path) -> TlsAcceptor {
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(directory.join("tls.crt")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(directory.join("tls.key")).unwrap();
    let config = ServerConfig::builder_with_protocol_versions(&[&TLS13])
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(acceptor: TlsAcceptor, table: Arc<Table>, port: u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let (acceptor, table) = (acceptor.clone(), table.clone());
        tokio::task::spawn_local(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let service = service_fn(|request| answer(request, &table));
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        });
    }
}

async fn answer(request: Request<Incoming>, table: &Table) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/mutate" || request.method() != Method::POST {
        return Ok(failure(StatusCode::NOT_FOUND));
    }
    let Ok(body) = request.into_body().collect().await else { return Ok(failure(StatusCode::BAD_REQUEST)) };
    let Ok(review) = serde_json::from_slice::<Value>(&body.to_bytes()) else {
        return Ok(failure(StatusCode::BAD_REQUEST));
    };
    let mut response = match operations(&review["request"]["object"], table) {
        Ok(patch) if patch.is_empty() => json!({"allowed": true}),
        Ok(patch) => {
            let patch = BASE64_STANDARD.encode(serde_json::to_vec(&patch).unwrap());
            json!({"allowed": true, "patchType": "JSONPatch", "patch": patch})
        }
        Err(message) => json!({"allowed": false, "status": {"message": message}}),
    };
    response["uid"] = review["request"]["uid"].clone();
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    let mut sent = Response::new(Full::new(serde_json::to_vec(&answer).unwrap().into()));
    sent.headers_mut().insert("content-type", "application/json".parse().unwrap());
    Ok(sent)
}

fn failure(status: StatusCode) -> Response<Full<Bytes>> {
    let mut sent = Response::new(Full::default());
    *sent.status_mut() = status;
    sent
}

/// The JSON Patch for a pod, or why it is denied.
fn operations(pod: &Value, table: &Table) -> Result<Vec<Value>, String> {
    let mut patch = Vec::new();
    let annotations = &pod["metadata"]["annotations"];
    let Some(profile) = annotations["gpu-slice"].as_str() else { return Ok(patch) };
    let Some(slice) = table.get(profile) else { return Err(format!("no pool offers {profile}")) };
    let (container, spec) = (&pod["spec"]["containers"][0], &pod["spec"]);
    let (resource, count) = (slice["resource"].as_str().unwrap(), slice["count"].as_str().unwrap());
    let assigned = format!("{profile} -> {}={resource}:{count}", container["name"].as_str().unwrap_or_default());
    put(&mut patch, "/metadata/annotations", annotations, "gpu-slice/assigned", &assigned.into());
    put(&mut patch, "/metadata/annotations", annotations, "gpu-slice/pools", &slice["pools"]);
    let resources = &container["resources"];
    if !resources.is_object() {
        let lists = json!({"limits": {resource: count}, "requests": {resource: count}});
        patch.push(json!({"op": "add", "path": "/spec/containers/0/resources", "value": lists}));
    } else {
        for list in ["limits", "requests"] {
            put(&mut patch, &format!("/spec/containers/0/resources/{list}"), &resources[list], resource, &slice["count"]);
        }
    }
    let wanted = slice["tolerations"].as_array().unwrap();
    match spec["tolerations"].as_array() {
        None => patch.push(json!({"op": "add", "path": "/spec/tolerations", "value": wanted})),
        Some(present) => {
            for toleration in wanted.iter().filter(|toleration| !present.contains(toleration)) {
                patch.push(json!({"op": "add", "path": "/spec/tolerations/-", "value": toleration}));
            }
        }
    }
    let labels: &Map<String, Value> = slice["nodeSelector"].as_object().unwrap();
    if !spec["nodeSelector"].is_object() {
        patch.push(json!({"op": "add", "path": "/spec/nodeSelector", "value": labels}));
    } else {
        for (label, value) in labels {
            put(&mut patch, "/spec/nodeSelector", &spec["nodeSelector"], label, value);
        }
    }
    Ok(patch)
}

/// Adds the operation that gives `key` its value in the mapping at `path`, where it has another one.
fn put(patch: &mut Vec<Value>, path: &str, mapping: &Value, key: &str, value: &Value) {
    if !mapping.is_object() {
        patch.push(json!({"op": "add", "path": path, "value": {key: value}}));
    } else if mapping[key] != *value {
        let key = key.replace('~', "~0").replace('/', "~1");
        patch.push(json!({"op": "add", "path": format!("{path}/{key}"), "value": value}));
    }
}
