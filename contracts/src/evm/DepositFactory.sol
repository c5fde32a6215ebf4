// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hub} from "./Hub.sol";

/// Deposit addresses for chains without EIP-7702. Each is an EIP-1167 clone of `DepositDelegate`,
/// whose address is known before there is any code; the first sweep creates it.
contract DepositFactory {
    Hub public immutable hub;
    address public immutable delegate;

    error NotCollector();

    constructor(Hub hub_, address delegate_) {
        hub = hub_;
        delegate = delegate_;
    }

    /// Create the clones that are still missing, and have the hub sweep. For the hub's collectors
    /// alone; the factory has to be one of them.
    function sweep(bytes32[] calldata salts, Hub.Item[] calldata items) external {
        if (!hub.isCollector(msg.sender)) revert NotCollector();
        for (uint256 index; index < salts.length; ++index) {
            create(salts[index]);
        }
        hub.sweep(items);
    }

    /// Create one clone; again: nothing happens. Anyone may, for it can only pay the hub's
    /// treasury.
    function create(bytes32 salt) public {
        // Asked first: creating where something stands costs all the gas that is left.
        if (addressOf(salt).code.length != 0) return;
        bytes memory code = cloneCode();
        assembly ("memory-safe") {
            pop(create2(0, add(code, 0x20), mload(code), salt))
        }
    }

    /// Where the clone of a salt stands or will stand.
    function addressOf(bytes32 salt) public view returns (address) {
        bytes32 code = keccak256(cloneCode());
        return address(uint160(uint256(
            keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, code))
        )));
    }

    /// EIP-1167 with its creation prefix.
    function cloneCode() private view returns (bytes memory) {
        return abi.encodePacked(
            hex"3d602d80600a3d3981f3363d3d373d3d3d363d73",
            delegate,
            hex"5af43d82803e903d91602b57fd5bf3"
        );
    }
}
