// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ChannelConfig, IDepositCollector} from "./BatchSettlement.sol";
import {IPermit2} from "./ExactPermit2Proxy.sol";

interface IPermit {
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
}

/// Brings deposits of `batch-settlement` by Permit2, for tokens without ERC-3009: the payer signs
/// the channel as Permit2's witness, so that the coins go into that one and nowhere else. On public
/// chains x402's original stands at the same address.
contract Permit2DepositCollector is IDepositCollector {
    /// Where the escrow stands on every chain; nobody else is brought anything.
    address public constant ESCROW = 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003;
    IPermit2 public constant PERMIT2 = IPermit2(0x000000000022D473030F116dDEE9F6B43aC78BA3);
    bytes32 public constant WITNESS_TYPEHASH = keccak256("DepositWitness(bytes32 channelId)");
    string public constant WITNESS_TYPE_STRING =
        "DepositWitness witness)DepositWitness(bytes32 channelId)TokenPermissions(address token,uint256 amount)";

    error OnlyEscrow();

    /// `data` is (nonce, deadline, Permit2 signature, ERC-2612 permit or nothing).
    function collect(ChannelConfig calldata config, bytes32 channelId, uint256 amount, bytes calldata data) external {
        if (msg.sender != ESCROW) revert OnlyEscrow();
        (uint256 nonce, uint256 deadline, bytes memory signature, bytes memory approval) =
            abi.decode(data, (uint256, uint256, bytes, bytes));
        if (approval.length > 0) {
            (uint256 value, uint256 until, uint8 v, bytes32 r, bytes32 s) =
                abi.decode(approval, (uint256, uint256, uint8, bytes32, bytes32));
            // Somebody else may have carried it here before: then the allowance is there.
            try IPermit(config.token).permit(config.payer, address(PERMIT2), value, until, v, r, s) {} catch {}
        }
        PERMIT2.permitWitnessTransferFrom(
            IPermit2.PermitTransferFrom(IPermit2.TokenPermissions(config.token, amount), nonce, deadline),
            IPermit2.SignatureTransferDetails(ESCROW, amount),
            config.payer,
            keccak256(abi.encode(WITNESS_TYPEHASH, channelId)),
            WITNESS_TYPE_STRING,
            signature
        );
    }
}
