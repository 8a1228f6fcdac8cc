//! Links the module small: functions that came out the same, instruction for instruction, are kept once.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The one platform whose linker is LLD unless somebody chose another; GNU's does not know the option.
    if std::env::var("TARGET").is_ok_and(|target| target == "x86_64-unknown-linux-gnu") {
        println!("cargo::rustc-link-arg-cdylib=-Wl,--icf=all");
    }
}
