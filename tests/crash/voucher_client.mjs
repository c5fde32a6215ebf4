// The official TypeScript client pays by batch-settlement, and has the rest back. Reads one JSON
// object from the command line, prints one to the standard output.
import { toClientEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { decodePaymentResponseHeader, wrapFetchWithPaymentFromConfig } from "@x402/fetch";
import { createPublicClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const { url, network, privateKey, rpc, salt, calls } = JSON.parse(process.argv[2]);
const chain = createPublicClient({ transport: http(rpc) });
const signer = toClientEvmSigner(privateKeyToAccount(privateKey), chain);
const client = new BatchSettlementEvmScheme(signer, { salt });
const pay = wrapFetchWithPaymentFromConfig(fetch, { schemes: [{ network, client }] });
const answers = [];
for (let call = 0; call < calls; call += 1) {
  const response = await pay(url);
  const header = response.headers.get("PAYMENT-RESPONSE");
  answers.push({
    status: response.status,
    body: await response.text(),
    receipt: header && decodePaymentResponseHeader(header),
  });
}
const refund = await client.refund(url);
console.log(JSON.stringify({ answers, refund }));
