// The official TypeScript client signs a deposit by Permit2 and its first voucher. Reads one JSON
// object from the command line, prints the payload to the standard output.
import { toClientEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { createPublicClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const { privateKey, rpc, requirements } = JSON.parse(process.argv[2]);
const chain = createPublicClient({ transport: http(rpc) });
const signer = toClientEvmSigner(privateKeyToAccount(privateKey), chain);
const client = new BatchSettlementEvmScheme(signer);
const { payload } = await client.createPaymentPayload(2, requirements);
console.log(JSON.stringify(payload));
